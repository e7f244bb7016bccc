// GET /models: the models and generators that this replica can serve, and those that it cannot, with the reason.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../config.js';
import type { CatalogueEntry, EngineStatus, ModelInfo } from '../engine/host/engine.js';
import { usualStrength } from '../model-facts.js';
import type { GeneratorFiles } from './generators/generator-files.js';
import type { BrokenChoice, Choice, Shelf } from './generators/shelf.js';
import { Model } from './model-schema.js';
import { influenceOf, influenceOfImageGuidance, starterWeight } from './pictures/starter-weight.js';
import { fieldProblem, Problem, problemResponses } from './problems/problems.js';
import { longestPathPart } from './server/paths.js';

export function modelRoutes(
  app: FastifyInstance,
  config: Config,
  shelf: Shelf,
  files: GeneratorFiles,
  engine: { readonly status: Pick<EngineStatus, 'workers'> },
): void {
  const limits = { steps: config.MAX_STEPS, pixels: config.MAX_PIXELS, prompt_chars: config.MAX_PROMPT_CHARS };
  const providersNow = () => new Set(engine.status.workers.flatMap(({ provider, up }) => (up ? provider : [])));
  const shown = (model: CatalogueEntry) =>
    model.runnable
      ? {
          ...model,
          default: model.name === shelf.defaultModel,
          providers: [...providersNow()].sort(),
          row_budgets: rowBudgets(model),
          defaults: shownDefaults(model.defaults),
          limits,
          lora_family: model.loraFamily,
          safety_checker: model.safetyChecker,
          ...(model.textEncodersOf !== undefined && { text_encoders: model.textEncodersOf }),
        }
      : model;
  const all = () => [...shelf.models.map(shown), ...shelf.others.map((one) => shownGenerator(one, shown, limits))];
  app.addSchema(Model);
  app.get(
    '/models',
    {
      schema: {
        operationId: 'listModels',
        summary: 'The models that this server can run, and generators over them',
        description: 'The default is `DEFAULT_MODEL`, else paintbox where it runs, else the first that does.',
        tags: ['Models'],
        response: {
          200: { description: 'All models', ...json(Type.Object({ models: Type.Array(Type.Ref('Model')) })) },
          ...problemResponses('unauthorized'),
        },
      },
    },
    async () => ({ models: all() }),
  );
  app.get<{ Params: { model: string } }>(
    '/models/:model',
    {
      schema: {
        operationId: 'getModel',
        summary: 'One model',
        description: 'What it can make, its defaults and limits, its licence and digest, or why it cannot run.',
        tags: ['Models'],
        params: Type.Object({ model: Type.String({ maxLength: longestPathPart }) }),
        response: {
          200: { description: 'The model', ...json(Type.Ref('Model')) },
          ...problemResponses('invalid_request', 'unauthorized', 'model_not_found', 'not_ready'),
        },
      },
    },
    async ({ params }) => {
      if (shelf.models.length === 0) shelf.choose(); // not ready, and it says why
      const found = all().find((model) => model.name === params.model);
      if (!found)
        throw fieldProblem(
          'model_not_found',
          'model',
          `There is no model ${JSON.stringify(params.model)}; see GET /models.`,
        );
      return found;
    },
  );
  app.get<{ Params: { model: string } }>(
    '/models/:model/picture',
    {
      schema: {
        operationId: 'getGeneratorPicture',
        summary: "A generator's picture",
        description: 'What it makes, as its file names it.',
        tags: ['Models'],
        params: Type.Object({ model: Type.String({ maxLength: longestPathPart }) }),
        response: {
          200: { description: 'The picture', content: pictureContent },
          ...problemResponses('invalid_request', 'unauthorized', 'not_found'),
        },
      },
    },
    async ({ params: { model } }, reply) => {
      const picture = shelf.generator(model)?.picture;
      const bytes = picture === undefined ? undefined : await files.picture(picture).catch(() => undefined);
      if (!picture || !bytes) throw new Problem('not_found', `There is no picture of ${JSON.stringify(model)}.`);
      return reply
        .type(`image/${typeOf(picture)}`)
        .header('x-content-type-options', 'nosniff')
        .send(bytes);
    },
  );
}

const pictureContent = Object.fromEntries(
  ['image/png', 'image/jpeg', 'image/webp'].map((type) => [type, { schema: Type.String({ format: 'binary' }) }]),
);

const typeOf = (file: string) => file.slice(file.lastIndexOf('.') + 1).replace(/^jpg$/, 'jpeg');

function shownGenerator(
  one: Choice | BrokenChoice,
  shown: (model: ModelInfo) => object,
  limits: { steps: number; pixels: number; prompt_chars: number },
) {
  const { name } = one;
  if (!('model' in one) || !one.generator)
    return { name, runnable: false, ...('reason' in one && { reason: one.reason }) };
  const {
    base,
    digest,
    picture,
    prompt_prefix,
    prompt_suffix,
    negative_prompt,
    loras,
    defaults,
    limits: own,
  } = one.generator;
  const influence =
    defaults.influence ?? (defaults.strength === undefined ? undefined : influenceOf(defaults.strength));
  const { imageGuidance } = influence === undefined ? one.model.defaults : starterWeight({ influence }, one.model);
  const { guidance, steps = limits.steps, pixels = limits.pixels } = own;
  return {
    ...shown(one.model),
    ...{ name, digest },
    defaults: {
      ...shownDefaults({ ...one.model.defaults, ...(imageGuidance !== undefined && { imageGuidance }) }),
      ...(influence !== undefined && { influence }),
    },
    limits: {
      ...limits,
      steps: Math.min(steps, limits.steps),
      pixels: Math.min(pixels, limits.pixels),
      ...(guidance !== undefined && { guidance }),
    },
    generator: {
      ...{ base, prompt_prefix, prompt_suffix, negative_prompt, loras },
      ...(picture !== undefined && { picture: `models/${encodeURIComponent(name)}/picture` }),
    },
  };
}

/** The strength as an influence, where it is another than the usual one. */
function shownDefaults({ steps, guidance, scheduler, strength, imageGuidance }: ModelInfo['defaults']) {
  const edits = imageGuidance !== undefined && {
    influence: influenceOfImageGuidance(imageGuidance),
    image_guidance: imageGuidance,
  };
  const own = strength !== undefined && strength !== usualStrength && { influence: influenceOf(strength) };
  return { steps, guidance, scheduler, ...own, ...edits };
}

/** None while nothing was measured: the model is not loaded, or MAX_CONCURRENT decides. */
function rowBudgets({ capacities }: ModelInfo) {
  return capacities?.flatMap(({ width, height, maxRows }) => (maxRows ? [{ width, height, rows: maxRows }] : []));
}

const json = (schema: object) => ({ content: { 'application/json': { schema } } });
