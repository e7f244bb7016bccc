// GET /models: the models and generators that this replica can serve, and those that it cannot, with the reason.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../config.js';
import { type CatalogueEntry, type EngineStatus, type ModelInfo, schedulerNames } from '../engine/host/engine.js';
import {
  kinds,
  loraFamilies,
  partFormats,
  partNames,
  precisions,
  providers,
  weightPrecisions,
} from '../model-facts.js';
import type { GeneratorFiles } from './generators/generator-files.js';
import type { BrokenChoice, Choice, Shelf } from './generators/shelf.js';
import { influenceOf, influenceOfImageGuidance, starterWeight } from './pictures/starter-weight.js';
import { fieldProblem, Problem, problemResponses } from './problems/problems.js';

const Model = Type.Object(
  {
    name: Type.String({ description: 'What the field `model` takes' }),
    kind: Type.Optional(
      Type.Enum([...kinds], {
        type: 'string',
        description:
          'Stable Diffusion 1.x and 2.x (`sd`, `sd-v` with v-prediction), XL, their turbo forms, latent consistency models, and models that edit by an instruction (`instruct-pix2pix`)',
      }),
    ),
    exporter: Type.Optional(Type.String({ description: 'Whose habits the graphs show' })),
    precision: Type.Optional(
      Type.Enum([...precisions], {
        type: 'string',
        description: 'What it computes in; `mixed` where its parts differ, or one does so in both',
      }),
    ),
    parts: Type.Optional(
      Type.Array(
        Type.Object({
          part: Type.Enum([...partNames], { type: 'string' }),
          format: Type.Enum([...partFormats], { type: 'string', description: 'As it lies in the model' }),
          weights: Type.Array(Type.Enum([...weightPrecisions], { type: 'string' }), {
            description: 'As they are stored, the one that most of them have first',
          }),
          computes: Type.Enum([...precisions], { type: 'string' }),
        }),
        { description: 'Its graphs' },
      ),
    ),
    runnable: Type.Boolean(),
    default: Type.Optional(Type.Boolean({ description: 'Whether requests that name no model get it' })),
    reason: Type.Optional(Type.String({ description: 'Why it cannot run' })),
    note: Type.Optional(Type.String({ description: 'What this server changed of its defaults' })),
    title: Type.Optional(Type.String()),
    description: Type.Optional(Type.String()),
    license: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    digest: Type.Optional(Type.String({ description: 'sha256 over the folder' })),
    vocabulary: Type.Optional(
      Type.Object(
        {
          styles: Type.Array(Type.String()),
          qualities: Type.Array(Type.String()),
          colours: Type.Array(Type.String()),
          other: Type.Array(Type.String(), { description: 'Synonyms, and what fits nowhere else' }),
        },
        { description: 'The words that the model knows; absent where its folder names none' },
      ),
    ),
    loaded: Type.Optional(Type.Boolean({ description: 'False until its first request' })),
    providers: Type.Optional(
      Type.Array(Type.Enum([...providers], { type: 'string' }), {
        description: 'What its calls really run on here, of all workers that are up',
      }),
    ),
    size: Type.Optional(
      Type.Object(
        { native: Type.Integer(), multiple: Type.Integer(), min: Type.Integer(), max: Type.Integer() },
        { description: 'Sides that it can make, in pixels' },
      ),
    ),
    lora_family: Type.Optional(
      Type.Union([Type.Enum([...loraFamilies], { type: 'string' }), Type.Null()], {
        description: 'Of the LoRAs that it takes; null where it takes none',
      }),
    ),
    safety_checker: Type.Optional(
      Type.Boolean({ description: 'Whether it comes with a safety checker, which `SAFETY_CHECKER` turns on' }),
    ),
    row_budgets: Type.Optional(
      Type.Array(Type.Object({ width: Type.Integer(), height: Type.Integer(), rows: Type.Integer() }), {
        description:
          'Rows of one UNet call beyond which more gain nothing here, as measured when the model was loaded; a guided picture takes two, of `instruct-pix2pix` three',
      }),
    ),
    limits: Type.Optional(
      Type.Object(
        {
          steps: Type.Integer(),
          pixels: Type.Integer(),
          prompt_chars: Type.Integer(),
          guidance: Type.Optional(Type.Number({ description: 'Of a generator that has one' })),
        },
        { description: 'The most that a request may ask for' },
      ),
    ),
    defaults: Type.Optional(
      Type.Object({
        steps: Type.Integer(),
        guidance: Type.Number(),
        scheduler: Type.Enum(schedulerNames, { type: 'string' }),
        influence: Type.Optional(
          Type.Number({
            description:
              'Of a generator that has one, and of a model that takes `image_guidance`, what that comes to; else it is 25',
          }),
        ),
        image_guidance: Type.Optional(Type.Number({ description: 'Of a model that takes it' })),
      }),
    ),
    generator: Type.Optional(
      Type.Object(
        {
          base: Type.String({ description: 'The model that runs' }),
          prompt_prefix: Type.Optional(Type.String()),
          prompt_suffix: Type.Optional(Type.String()),
          negative_prompt: Type.Optional(Type.String({ description: 'Where a request has none' })),
          loras: Type.Optional(
            Type.Array(Type.Object({ name: Type.String(), scale: Type.Optional(Type.Number()) }), {
              description: 'Where a request names none',
            }),
          ),
          picture: Type.Optional(Type.String({ description: 'What it makes: an address relative to `/`' })),
        },
        {
          description:
            'Only for generators: a model with a way to use it. What a request says beats its `defaults`, not its `limits`',
        },
      ),
    ),
  },
  { $id: 'Model' },
);

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
        params: Type.Object({ model: Type.String() }),
        response: {
          200: { description: 'The model', ...json(Type.Ref('Model')) },
          ...problemResponses('unauthorized', 'model_not_found', 'not_ready'),
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
        params: Type.Object({ model: Type.String() }),
        response: {
          200: { description: 'The picture', content: pictureContent },
          ...problemResponses('unauthorized', 'not_found'),
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

function shownDefaults({ steps, guidance, scheduler, imageGuidance }: ModelInfo['defaults']) {
  const edits = imageGuidance !== undefined && {
    influence: influenceOfImageGuidance(imageGuidance),
    image_guidance: imageGuidance,
  };
  return { steps, guidance, scheduler, ...edits };
}

/** None while nothing was measured: the model is not loaded, or MAX_CONCURRENT decides. */
function rowBudgets({ capacities }: ModelInfo) {
  return capacities?.flatMap(({ width, height, maxRows }) => (maxRows ? [{ width, height, rows: maxRows }] : []));
}

const json = (schema: object) => ({ content: { 'application/json': { schema } } });
