// What ran and how long it took, told twice: as the headers of an answer that is a picture, and as JSON. One table makes both:
// what the fields of the request came to (fields.ts says which are told), and the facts below.

import type { FastifyReply } from 'fastify';
import { type TSchema, Type } from 'typebox';
import type { Config } from '../../config.js';
import type { Estimate, Generated } from '../../engine/host/engine.js';
import { formats } from '../../image/encode.js';
import type { FieldTable } from './field.js';
import type { Made, MadePicture, Plan } from './making.js';
import type { Parameters } from './parameters.js';
import { warningBodies, warningCodes, warningsFor } from './warnings.js';

interface Fact {
  /** Too long for a header, or anything but ASCII. */
  readonly onlyInJson?: true;
  /** Not told of every picture. */
  readonly maybeAbsent?: true;
  readonly schema: TSchema & { readonly description?: string };
  /** @param result absent before anything ran */
  readonly of: (parameters: Parameters, result?: Generated) => unknown;
  /** In a header, where it is more than a text, which is percent-encoded, or a number. */
  readonly inHeader?: (value: never) => string;
}

/** What is told beside the fields. */
const facts: Readonly<Record<string, Fact>> = {
  prompt: {
    onlyInJson: true,
    schema: Type.String({ description: 'The prompt that ran, with what a generator adds to it' }),
    of: ({ values }) => values.prompt,
  },
  negative_prompt: {
    onlyInJson: true,
    schema: Type.String({ description: "The negative prompt that ran, perhaps a generator's" }),
    of: ({ values }) => values.negative_prompt,
  },
  base_model: {
    maybeAbsent: true,
    schema: Type.String({ description: 'The model that a generator runs; only where one was chosen' }),
    of: ({ generator, model }) => generator && model.name,
  },
  generator_digest: {
    maybeAbsent: true,
    schema: Type.String({ description: "sha256 of the generator's file; only where one was chosen" }),
    of: ({ generator }) => generator?.digest,
  },
  steps_run: {
    schema: Type.Integer({ description: 'Positions of the schedule that were run' }),
    of: ({ schedule }) => schedule.stepsRun,
  },
  unet_calls: {
    schema: Type.Integer({ description: 'UNet calls for one picture' }),
    of: ({ schedule }, result) => result?.unetCalls ?? schedule.unetCalls,
  },
  model_digest: {
    schema: Type.String({ description: 'sha256 of the model folder' }),
    of: ({ model }) => model.digest,
  },
  loras: {
    maybeAbsent: true,
    schema: Type.Array(Type.Object({ name: Type.String(), scale: Type.Number(), digest: Type.String() }), {
      description: 'LoRAs with their scales and the sha256 of their files; absent where there are none',
    }),
    of: ({ values }) => (values.lora.length > 0 ? values.lora : undefined),
    inHeader: (loras: Parameters['values']['lora']) =>
      loras.map(({ name, scale, digest }) => `${encodeURIComponent(name)}:${scale};sha256=${digest}`).join(', '),
  },
  size: {
    schema: Type.String({ description: 'Width x height' }),
    of: ({ size }) => `${size.width}x${size.height}`,
  },
  cropped: {
    schema: Type.Number({ description: 'Share of the starter that `fit=cover` cut off, 0 to 1' }),
    of: ({ cropped }) => Number(cropped.toFixed(2)),
  },
  embeddings: {
    maybeAbsent: true,
    schema: Type.String({ description: 'Textual inversions that the prompts use, comma-separated; absent for none' }),
    of: (_, result) => result?.embeddings.used.join(', ') || undefined,
    inHeader: (names: string) => names, // EmbeddingLibrary takes no others than ASCII's
  },
  engine: {
    schema: Type.String({ description: 'What equality of bytes can be expected of: runtime and device' }),
    of: (_, result) => result?.fingerprint,
    inHeader: (words: string) => words, // all of them ASCII
  },
};

/** What ran, of one picture: the names in JSON; a header has the same with the prefix `Img2img-` and dashes. */
export function ranSchema(table: FieldTable, config: Config) {
  return Type.Object({ ...toldSchemas(table, config), ...schemasOfFacts }, { $id: 'Ran', description: 'What ran' });
}

const schemasOfFacts = Object.fromEntries(
  Object.entries(facts).map(([name, { schema, maybeAbsent }]) => [name, maybeAbsent ? Type.Optional(schema) : schema]),
);

/** A value that is told has the type of its field, and no limits. */
function toldSchemas(table: FieldTable, config: Config): Record<string, TSchema> {
  const told = Object.entries(table).filter(([, field]) => field.told);
  return Object.fromEntries(
    told.map(([name, field]) => {
      const { type, format } = field.schema(config) as { type?: string; format?: string };
      const schema = Type.Unsafe({ type, ...(format && { format }), description: field.told });
      return [name, field.maybeAbsent ? Type.Optional(schema) : schema];
    }),
  );
}

/** What ran, or before it ran what would. */
export function ranParameters(parameters: Parameters, result?: Generated): Record<string, unknown> {
  const known = Object.entries(facts).map(([name, { of }]) => [name, of(parameters, result)] as const);
  return { ...parameters.told, ...Object.fromEntries(known.filter(([, value]) => value !== undefined)) };
}

const header = (description: string) => Type.String({ description });
const headerName = (field: string) =>
  `Img2img-${field.replace(/(^|_)(\w)/g, (_, dash, letter) => `${dash && '-'}${letter.toUpperCase()}`)}`;

/** Headers of every answer with pictures. */
export const sharedHeaders = {
  'X-Request-Id': header('Names the request in the log'),
  'Img2img-Flagged': header(
    "Which of the pictures the model's safety checker flagged, counted from 0, comma-separated; absent when none is, and where none looked (`SAFETY_CHECKER`)",
  ),
  'Img2img-Warnings': header(
    `What was changed or had no effect, as comma-separated codes; absent when there is none. ${Object.entries(
      warningCodes,
    )
      .map(([code, meaning]) => `\`${code}\`: ${meaning}`)
      .join(' ')}`,
  ),
  'Server-Timing': header(
    'Milliseconds per stage, of several pictures those of the one that was ready last; `total` is their sum, from the headers of the request to the encoded pictures. `model_runs` is the time inside the model, of all pictures',
  ),
};

/** The schemas of the headers that tell what ran, for the OpenAPI document. */
export function answerHeaders(table: FieldTable): Record<string, TSchema> {
  const fields = Object.entries(table).flatMap(([name, { told }]) => (told ? [[name, told] as const] : []));
  const others = Object.entries(facts)
    .filter(([, { onlyInJson }]) => !onlyInJson)
    .map(([name, { schema }]) => [name, String(schema.description)] as const);
  const told = [...fields, ...others].map(([name, meaning]) => [headerName(name), header(meaning)]);
  return { ...Object.fromEntries(told), ...sharedHeaders };
}

/** Of the first picture, and what is told of all. */
export function writeHeaders(reply: FastifyReply, made: Made): void {
  const { parameters, result } = made.pictures[0]!;
  for (const [name, value] of Object.entries(ranParameters(parameters, result))) {
    const { onlyInJson, inHeader } = facts[name] ?? {};
    if (onlyInJson) continue;
    // A client's text, and the name of a folder, may hold anything; a header may not.
    reply.header(headerName(name).toLowerCase(), inHeader?.(value as never) ?? encodeURIComponent(String(value)));
  }
  writeSharedHeaders(reply, made);
}

/** What is told of several pictures with parameters of their own. */
export function writeSharedHeaders(reply: FastifyReply, made: Made): void {
  const times = Object.entries(timingsOf(made)).map(([stage, ms]) => `${stage};dur=${ms}`);
  reply.headers({ 'server-timing': times.join(', '), 'cache-control': 'no-store' });
  if (made.warnings.length > 0) reply.header('img2img-warnings', made.warnings.join(', '));
  const flagged = flaggedIn(made);
  if (flagged.length > 0) reply.header('img2img-flagged', flagged.join(','));
}

/** Which pictures are flagged, counted from 0. */
export const flaggedIn = ({ pictures }: Made): number[] =>
  pictures.flatMap(({ result }, i) => (result.flagged ? [i] : []));

export const WarningBody = Type.Object({
  code: Type.Enum(Object.keys(warningCodes), { type: 'string' }),
  detail: Type.String(),
});

export const imageFacts = {
  seed: Type.Integer({ format: 'int64' }),
  width: Type.Integer(),
  height: Type.Integer(),
  format: Type.Enum([...formats], { type: 'string' }),
};

/** What an answer has of each picture, and of one that is kept back. */
export const imageSchema = {
  b64_json: Type.Union([Type.String(), Type.Null()], {
    description: 'The picture in base64; null for one that is kept back (`SAFETY_CHECKER=block`)',
  }),
  ...imageFacts,
  flagged: Type.Optional(
    Type.Boolean({ description: "Whether the model's safety checker flagged it; absent where none looked" }),
  ),
};

/** The JSON answer. */
export const MadeBody = Type.Object(
  {
    id: Type.String({ description: "The request's id, as in `X-Request-Id`" }),
    created: Type.Integer({ description: 'Unix time in seconds' }),
    model: Type.String(),
    images: Type.Array(Type.Object(imageSchema)),
    parameters: Type.Ref('Ran'),
    timings: Type.Record(Type.String(), Type.Number(), {
      description: 'Milliseconds per stage, as in `Server-Timing`',
    }),
    warnings: Type.Array(WarningBody, { description: 'What was changed or had no effect' }),
  },
  { $id: 'Made' },
);

/** The answer to a dry run. */
export function dryRunSchema(table: FieldTable, config: Config) {
  return Type.Object(
    {
      dry_run: Type.Boolean({ description: 'Always true' }),
      model: Type.String(),
      images: Type.Array(Type.Object(imageFacts)),
      parameters: Type.Omit(ranSchema(table, config), ['engine', 'embeddings'], { description: 'What would run' }),
      estimate: Type.Object({
        wait_ms: Type.Number({ description: 'Until the first picture would begin' }),
        duration_ms: Type.Number({ description: 'Of all pictures, once they run' }),
        memory_bytes: Type.Union([Type.Integer({ format: 'int64' }), Type.Null()], {
          description: 'On the device, while the request runs; null where nothing was measured',
        }),
      }),
      warnings: Type.Array(WarningBody, {
        description: 'What would be changed or have no effect; whether a prompt is too long is known only when it runs',
      }),
    },
    { $id: 'DryRun' },
  );
}

export function dryRunBody(
  { pictures, starter, warnings: early }: Plan,
  { waitMs, durationMs, memoryBytes }: Estimate,
) {
  const { parameters } = pictures[0]!;
  const warnings = pictures.flatMap(({ sent, parameters, converted, untouched }) =>
    warningsFor(sent, parameters, starter, converted, untouched),
  );
  return {
    dry_run: true,
    model: parameters.values.model,
    images: pictures.map((picture) => factsOf(picture.parameters)),
    parameters: ranParameters(parameters),
    estimate: { wait_ms: Math.round(waitMs), duration_ms: Math.round(durationMs), memory_bytes: memoryBytes ?? null },
    warnings: warningBodies([...new Set([...early, ...warnings])], pictures),
  };
}

export function madeBody(id: string, made: Made) {
  const { parameters, result } = made.pictures[0]!;
  return {
    id,
    created: Math.floor(Date.now() / 1000),
    model: parameters.values.model,
    images: made.pictures.map(imageBody),
    parameters: ranParameters(parameters, result),
    timings: timingsOf(made),
    warnings: warningBodies(made.warnings, made.pictures),
  };
}

export function imageBody({ bytes, parameters, blocked, result: { flagged } }: MadePicture) {
  const b64_json = blocked ? null : bytes.toString('base64');
  return { b64_json, ...factsOf(parameters), ...(flagged !== undefined && { flagged }) };
}

function factsOf({ values, size }: Parameters) {
  return { seed: values.seed, ...size, format: values.format };
}

export function timingsOf({ stageTimes, totalMs, modelRunMs }: Made): Record<string, number> {
  return Object.fromEntries(
    Object.entries({ ...stageTimes, total: totalMs, model_runs: modelRunMs }).map(([stage, ms]) => [
      stage,
      Number(ms.toFixed(1)),
    ]),
  );
}
