// POST /img2img/sheet: one request swept over one or two axes, answered as a labelled contact sheet or as JSON.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../../config.js';
import { contactSheet } from '../../image/contact-sheet.js';
import { encode, formats } from '../../image/encode.js';
import { type Img2ImgBody, pictureFields, sheetForm, sheetJson } from '../pictures/fields.js';
import { type MadePicture, makingProblems, type PictureMaker, type Plan } from '../pictures/generation.js';
import { pictureTypes, sendJson } from '../pictures/img2img.js';
import { eachSeed } from '../pictures/parameters.js';
import { answerHeaders, dryRunBody, SheetBody, sheetBody, writeSharedHeaders } from '../pictures/report.js';
import { type FieldTypes, readBody } from '../pictures/upload.js';
import { problemResponses } from '../problems/problems.js';
import { deadlineSignal, timeoutHeader } from '../server/deadline.js';
import { negotiate, preferred } from '../server/negotiation.js';
import type { UploadBudget } from '../server/upload-budget.js';
import { type AxesBody, type Axis, type Check, cellBodies, readAxes } from './axes.js';

export function sheetRoute(app: FastifyInstance, config: Config, maker: PictureMaker, budget: UploadBudget): void {
  const form = sheetForm(config);
  const { 'Server-Timing': timing, 'Img2img-Warnings': warnings, 'X-Request-Id': id } = answerHeaders;
  app.addSchema(SheetBody);
  app.post<{ Body: Img2ImgBody & AxesBody }>(
    '/img2img/sheet',
    {
      schema: {
        operationId: 'img2imgSheet',
        summary: 'A contact sheet: one request over a range of values',
        description:
          'Makes a picture for every value of an axis, or every pair of values of two, with everything else the same (the seed too). The answer is one labelled picture, or JSON with the single ones.',
        tags: ['Pictures'],
        headers: Type.Object(timeoutHeader),
        body: {
          content: { 'multipart/form-data': { schema: form }, 'application/json': { schema: sheetJson(config) } },
        },
        response: {
          200: {
            description: 'The contact sheet, or as JSON its pictures',
            headers: { 'X-Request-Id': id, 'Server-Timing': timing, 'Img2img-Warnings': warnings },
            content: {
              ...Object.fromEntries(pictureTypes.map((type) => [type, { schema: Type.String({ format: 'binary' }) }])),
              'application/json': { schema: Type.Union([Type.Ref('Sheet'), Type.Ref('DryRun')]) },
            },
          },
          ...problemResponses(
            'invalid_request',
            'unauthorized',
            'rate_limited',
            'not_acceptable',
            'unsupported_media_type',
            ...makingProblems,
          ),
        },
      },
      onRequest: budget,
      preValidation: async (request, reply) => {
        await readBody(request, form.properties as FieldTypes, pictureFields, config.MAX_UPLOAD_BYTES);
        request.uploadMs = reply.elapsedTime;
      },
    },
    async (request, reply) => {
      const { body } = request;
      const offered = body.dry_run ? (['application/json'] as const) : ([...pictureTypes, 'application/json'] as const);
      const type = negotiate(request.headers.accept, offered);
      const accepted = preferred(request.headers.accept, pictureTypes);
      const format = body.format ?? formats.find((name) => `image/${name}` === accepted) ?? 'png';
      const check: Check = (field, value) => {
        const { default: _, ...schema } = (form.properties as Record<string, { default?: unknown }>)[field]!;
        const validate = request.compileValidationSchema(schema);
        return validate(value) ? [] : ((validate as { errors?: ReturnType<Check> }).errors ?? []);
      };
      const { x, y } = readAxes(body, check, config.MAX_SHEET_CELLS);
      const { x_field, x_values, y_field, y_values, ...common } = body;
      const { signal, deadline } = deadlineSignal(request, reply, config.REQUEST_TIMEOUT_MS);
      const [base] = eachSeed({ ...common, format }, 1);
      const plan = await maker.plan(
        { bodies: cellBodies(base!, x, y), ...request.pictures, image: request.pictures.image },
        { caller: request.caller ?? request.ip, signal, deadline },
      );
      if (body.dry_run) return sendJson(reply, dryRunBody(plan, maker.estimate(plan)));
      const made = await maker.run(plan, {
        signal,
        deadline,
        caller: request.caller,
        trace: request.trace,
        uploadMs: request.uploadMs,
      });
      writeSharedHeaders(reply, made);
      if (type === 'application/json') return sendJson(reply, sheetBody(request.id, made, x, y));
      const pixels = await contactSheet({
        starter: plan.pictures[0]!.job.request.pixels,
        facts: factsOf(made.pictures[0]!, [x, y], plan),
        columns: titlesOf(x),
        rows: y && titlesOf(y),
        pictures: made.pictures.map(({ result }) => result.pixels),
      });
      const { quality } = made.pictures[0]!.parameters;
      const bytes = await encode(pixels, { format, quality, source: 'compositeWithTrainedAlgorithmicMedia' });
      return reply.type(`image/${format}`).send(bytes);
    },
  );
}

const titlesOf = ({ field, values }: Axis) => ({ name: field.replace('_', ' '), values: values.map(String) });

/** What the pictures have in common, without what the axes change. */
function factsOf({ parameters }: MadePicture, axes: readonly (Axis | undefined)[], { starter }: Plan): string[] {
  const { request, model, influence, size } = parameters;
  const swept = axes.map((axis) => axis?.field);
  const facts: [field: string, text: string][] = [
    ['prompt', `prompt: ${request.prompt}`],
    ['negative_prompt', request.negativePrompt && `negative prompt: ${request.negativePrompt}`],
    [swept.includes('strength') ? 'strength' : 'influence', `influence ${influence} %, strength ${request.strength}`],
    ['guidance', `guidance ${request.guidanceScale}`],
    ['steps', `steps ${request.steps}`],
    ['scheduler', `scheduler ${request.scheduler}`],
    ['seed', `seed ${request.seed}`],
    ['model', `model ${model.name}`],
    ['size', `${size.width} x ${size.height}, of a starter of ${starter.width} x ${starter.height}`],
  ];
  return facts
    .filter(([field, text]) => text !== '' && !(swept as (string | undefined)[]).includes(field))
    .map(([, text]) => text);
}
