// What ran and how long it took, told twice: as the headers of an answer that is a picture, and as JSON. One table makes both.

import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { Estimate, Generated } from '../../engine/host/engine.js';
import { formats } from '../../image/encode.js';
import type { Axis } from '../sheet/axes.js';
import type { Made, MadePicture, Plan } from './generation.js';
import type { Parameters } from './parameters.js';
import { warningBodies, warningCodes, warningsFor } from './warnings.js';

/** What ran, of one picture: the names in JSON; a header has the same with the prefix `Img2img-` and dashes. */
export const Ran = Type.Object(
  {
    seed: Type.Integer({ description: 'The seed, drawn or given; of the first picture' }),
    strength: Type.Number({ description: 'Strength' }),
    influence: Type.Number({ description: 'Influence in percent' }),
    guidance: Type.Number({ description: 'Guidance scale' }),
    steps: Type.Integer({ description: 'Length of the full schedule' }),
    steps_run: Type.Integer({ description: 'Positions of the schedule that were run' }),
    unet_calls: Type.Integer({ description: 'UNet calls for one picture' }),
    scheduler: Type.String({ description: 'Noise scheduler' }),
    model: Type.String({ description: 'Model' }),
    model_digest: Type.String({ description: 'sha256 of the model folder' }),
    size: Type.String({ description: 'Width x height' }),
    engine: Type.String({ description: 'What equality of bytes can be expected of: runtime and device' }),
  },
  { $id: 'Ran', description: 'What ran' },
);

/** What is known before anything runs. */
export function settledParameters({ model, size, influence, request, schedule }: Parameters) {
  const { seed, strength, guidanceScale, steps, scheduler } = request;
  return {
    seed,
    strength,
    influence,
    guidance: guidanceScale,
    steps,
    steps_run: schedule.stepsRun,
    unet_calls: schedule.unetCalls,
    scheduler,
    model: model.name,
    model_digest: model.digest,
    size: `${size.width}x${size.height}`,
  };
}

export function ranParameters(parameters: Parameters, result: Generated) {
  return { ...settledParameters(parameters), unet_calls: result.unetCalls, engine: result.fingerprint };
}

const header = (description: string) => Type.String({ description });
const headerName = (field: string) =>
  `Img2img-${field.replace(/(^|_)(\w)/g, (_, dash, letter) => `${dash && '-'}${letter.toUpperCase()}`)}`;

/** The headers' schemas, for the OpenAPI document. */
export const answerHeaders = {
  'X-Request-Id': header('Names the request in the log'),
  ...Object.fromEntries(
    Object.entries(Ran.properties as Record<string, { description?: string }>).map(([field, { description = '' }]) => [
      headerName(field),
      header(description),
    ]),
  ),
  'Img2img-Warnings': header(
    `What was changed or had no effect, as comma-separated codes; absent when there is none. ${Object.entries(
      warningCodes,
    )
      .map(([code, meaning]) => `\`${code}\`: ${meaning}`)
      .join(' ')}`,
  ),
  'Server-Timing': header('Milliseconds per stage; of several pictures the sum, and the longest time in the queue'),
};

export function writeHeaders(reply: FastifyReply, made: Made): void {
  const { parameters, result } = made.pictures[0]!;
  for (const [field, value] of Object.entries(ranParameters(parameters, result))) {
    reply.header(headerName(field).toLowerCase(), field === 'model' ? encodeURIComponent(value) : value);
  }
  writeSharedHeaders(reply, made);
}

/** What is told of several pictures with parameters of their own. */
export function writeSharedHeaders(reply: FastifyReply, made: Made): void {
  const times = Object.entries(timingsOf(made)).map(([stage, ms]) => `${stage};dur=${ms}`);
  reply.headers({ 'server-timing': times.join(', '), 'cache-control': 'no-store' });
  if (made.warnings.length > 0) reply.header('img2img-warnings', made.warnings.join(', '));
}

export const WarningBody = Type.Object({
  code: Type.Enum(Object.keys(warningCodes), { type: 'string' }),
  detail: Type.String(),
});

const imageFacts = {
  seed: Type.Integer(),
  width: Type.Integer(),
  height: Type.Integer(),
  format: Type.Enum([...formats], { type: 'string' }),
};

/** The JSON answer. */
export const MadeBody = Type.Object(
  {
    id: Type.String({ description: "The request's id, as in `X-Request-Id`" }),
    created: Type.Integer({ description: 'Unix time in seconds' }),
    model: Type.String(),
    images: Type.Array(
      Type.Object({
        b64_json: Type.String({ description: 'The picture in base64' }),
        ...imageFacts,
      }),
    ),
    parameters: Type.Ref('Ran'),
    timings: Type.Record(Type.String(), Type.Number(), {
      description: 'Milliseconds per stage, as in `Server-Timing`',
    }),
    warnings: Type.Array(WarningBody, { description: 'What was changed or had no effect' }),
  },
  { $id: 'Made' },
);

/** The answer to a dry run. */
export const DryRunBody = Type.Object(
  {
    dry_run: Type.Literal(true),
    model: Type.String(),
    images: Type.Array(Type.Object(imageFacts)),
    parameters: Type.Omit(Ran, ['engine'], { description: 'What would run' }),
    estimate: Type.Object({
      wait_ms: Type.Number({ description: 'Until the first picture would begin' }),
      duration_ms: Type.Number({ description: 'Of all pictures, once they run' }),
      memory_bytes: Type.Union([Type.Integer(), Type.Null()], {
        description: 'On the device, while the request runs; null where nothing was measured',
      }),
    }),
    warnings: Type.Array(WarningBody, {
      description: 'What would be changed or have no effect; whether a prompt is too long is known only when it runs',
    }),
  },
  { $id: 'DryRun' },
);

export function dryRunBody(
  { pictures, starter, warnings: early }: Plan,
  { waitMs, durationMs, memoryBytes }: Estimate,
) {
  const { parameters } = pictures[0]!;
  const warnings = pictures.flatMap(({ body, parameters, converted }) =>
    warningsFor(body, parameters, starter, converted),
  );
  return {
    dry_run: true,
    model: parameters.model.name,
    images: pictures.map((picture) => factsOf(picture.parameters)),
    parameters: settledParameters(parameters),
    estimate: { wait_ms: Math.round(waitMs), duration_ms: Math.round(durationMs), memory_bytes: memoryBytes ?? null },
    warnings: warningBodies(
      [...new Set([...early, ...warnings])],
      pictures.map(({ parameters }) => parameters),
    ),
  };
}

export function madeBody(id: string, made: Made) {
  const { parameters, result } = made.pictures[0]!;
  return {
    id,
    created: Math.floor(Date.now() / 1000),
    model: parameters.model.name,
    images: made.pictures.map(imageBody),
    parameters: ranParameters(parameters, result),
    timings: timingsOf(made),
    warnings: warningBodies(
      made.warnings,
      made.pictures.map(({ parameters }) => parameters),
    ),
  };
}

const axis = Type.Object({ field: Type.String(), values: Type.Array(Type.Union([Type.Number(), Type.String()])) });

/** The JSON answer of a sheet. */
export const SheetBody = Type.Object(
  {
    id: Type.String(),
    created: Type.Integer({ description: 'Unix time in seconds' }),
    axes: Type.Object({ x: axis, y: Type.Optional(axis) }),
    cells: Type.Array(
      Type.Object({
        x: Type.Union([Type.Number(), Type.String()]),
        y: Type.Optional(Type.Union([Type.Number(), Type.String()])),
        b64_json: Type.String({ description: 'The picture in base64' }),
        ...imageFacts,
        parameters: Type.Ref('Ran'),
        warnings: Type.Array(WarningBody),
      }),
      { description: 'Row by row' },
    ),
    timings: Type.Record(Type.String(), Type.Number(), {
      description: 'Milliseconds per stage, as in `Server-Timing`',
    }),
    warnings: Type.Array(WarningBody, { description: 'Of all pictures, each once' }),
  },
  { $id: 'Sheet' },
);

export function sheetBody(id: string, made: Made, x: Axis, y: Axis | undefined) {
  const columns = x.values.length;
  return {
    id,
    created: Math.floor(Date.now() / 1000),
    axes: { x, ...(y && { y }) },
    cells: made.pictures.map((picture, i) => ({
      x: x.values[i % columns],
      ...(y && { y: y.values[Math.floor(i / columns)] }),
      ...imageBody(picture),
      parameters: ranParameters(picture.parameters, picture.result),
      warnings: warningBodies(picture.warnings, [picture.parameters]),
    })),
    timings: timingsOf(made),
    warnings: warningBodies(
      made.warnings,
      made.pictures.map(({ parameters }) => parameters),
    ),
  };
}

export function imageBody({ bytes, parameters }: MadePicture) {
  return { b64_json: bytes.toString('base64'), ...factsOf(parameters) };
}

function factsOf({ request, size, format }: Parameters) {
  return { seed: request.seed, ...size, format };
}

function timingsOf({ stageTimes, modelRunMs }: Made): Record<string, number> {
  return Object.fromEntries(
    Object.entries({ ...stageTimes, model_runs: modelRunMs }).map(([stage, ms]) => [stage, Number(ms.toFixed(1))]),
  );
}
