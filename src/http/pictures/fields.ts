// The fields of POST /img2img: names, ranges, defaults and what they mean. Both body forms and the OpenAPI document come from here.

import { type Static, type TSchema, Type } from 'typebox';
import type { Config } from '../../config.js';
import { schedulerNames } from '../../engine/host/engine.js';
import { defaultQuality, formats } from '../../image/encode.js';
import { axisFields } from '../sheet/axes.js';
import { exampleInfluence, exampleNegativePrompt, examplePrompt, exampleStarter } from './example.js';

/** Fields that are pictures. */
export const pictureFields = ['image', 'mask'] as const;

/** Bytes of one body: its pictures as base64, which adds a third, and the other fields. */
export const bodyLimit = (config: Config): number =>
  Math.ceil(pictureFields.length * config.MAX_UPLOAD_BYTES * 1.4) + 65_536;

/** Seeds are what torch's generator distinguishes. */
export const maxSeed = 2 ** 32 - 1;

export const defaults = { strength: 0.75, fit: 'cover', background: 'white', format: 'png' } as const;

function commonFields({ MAX_PROMPT_CHARS, MAX_STEPS, MAX_N }: Config) {
  const text = (description: string, examples: string[]) =>
    Type.Optional(Type.String({ maxLength: MAX_PROMPT_CHARS, default: '', description, examples }));
  return withRanges({
    prompt: text('What to move towards.', [examplePrompt]),
    negative_prompt: text('What to move away from. Has no effect when `guidance` is at or below 1.', [
      exampleNegativePrompt,
    ]),
    influence: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 100,
        examples: [exampleInfluence],
        description:
          "The starter's weight in percent, exactly `100 * (1 - strength)`: 100 stays as close as the model can, 0 leaves its colours only. Neither `strength` nor `influence` means 25.",
      }),
    ),
    strength: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description:
          'How much of the noise schedule is run, as in diffusers: 0 keeps the starter, 1 leaves its colours only. `strength` and `influence` are two names for one thing; send one of them. Neither means 0.75.',
      }),
    ),
    guidance: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 30,
        description:
          "Classifier-free guidance scale: how far the prompts pull. At or below 1 the negative prompt is not computed, and a step costs half. Absent means the model's default.",
      }),
    ),
    seed: Type.Optional(
      Type.Integer({
        minimum: -1,
        maximum: maxSeed,
        description:
          'The same request with the same seed gives the same bytes on the same engine. Absent or -1 draws one; the answer tells it. Picture i of `n` has the seed `(seed + i) mod 2^32`.',
      }),
    ),
    model: Type.Optional(
      Type.String({ minLength: 1, description: 'A name from `GET /models`. Absent means the first.' }),
    ),
    steps: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_STEPS,
        description:
          "Length of the full schedule; `trunc(steps * strength)` of them are run. Absent means the model's default.",
      }),
    ),
    scheduler: Type.Optional(
      Type.Enum(schedulerNames, {
        description: "The noise scheduler. Absent means the model's default.",
        type: 'string',
      }),
    ),
    n: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_N,
        default: 1,
        description:
          'Pictures to make, each with a seed of its own. More than one are answered as JSON or as an event stream.',
      }),
    ),
    width: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          "Width of the answer, a multiple of the model's step. Without `width` and `height` the starter's aspect is kept at about the model's native area; with one of them the other follows the aspect.",
      }),
    ),
    height: Type.Optional(Type.Integer({ minimum: 1, description: 'Height of the answer; see `width`.' })),
    fit: Type.Optional(
      Type.Enum(['cover', 'contain', 'fill', 'extend'], {
        type: 'string',
        default: defaults.fit,
        description:
          'How the starter meets another aspect: cut to fill, fitted with bars, stretched, or fitted with bars that repeat its edges.',
      }),
    ),
    background: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 40,
        default: defaults.background,
        description:
          'What transparency and the bars of `contain` are filled with: `#rgb`, `#rrggbb` or a CSS colour name.',
        examples: ['white', '#204060'],
      }),
    ),
    format: Type.Optional(
      Type.Enum([...formats], {
        type: 'string',
        description:
          'Format of the picture; beats the picture types of the `Accept` header. Absent means what `Accept` prefers, PNG in a tie.',
      }),
    ),
    quality: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: `Of the lossy formats. Absent means ${defaultQuality.jpeg} for JPEG and WebP, ${defaultQuality.avif} for AVIF. Has no effect on PNG.`,
      }),
    ),
    dry_run: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Makes no picture: checks the request and answers as JSON with what would run, how long it would wait and run, and the memory that it would take on the device.',
      }),
    ),
    preview: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'In an event stream: a small, rough picture with every step. Has no effect on the other answers.',
      }),
    ),
    embed_parameters: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "Writes what ran, prompts included, into the picture's XMP metadata as JSON (`img2img:Parameters`). Without it the picture carries only the mark that a model made it.",
      }),
    ),
  });
}

/** Says range and default in each description too: the console shows them nowhere else. */
function withRanges<T extends Record<string, TSchema>>(fields: T): T {
  for (const schema of Object.values(fields) as { [key: string]: unknown }[]) {
    const { minimum, maximum, maxLength, default: initial, description } = schema;
    const said = [
      ...(minimum !== undefined && maximum !== undefined ? [`From ${minimum} to ${maximum}.`] : []),
      ...(minimum !== undefined && maximum === undefined ? [`At least ${minimum}.`] : []),
      ...(maxLength !== undefined ? [`At most ${maxLength} characters.`] : []),
      ...(initial !== undefined && initial !== '' ? [`Default: \`${initial}\`.`] : []),
    ];
    schema.description = [description, ...said].join(' ');
  }
  return fields;
}

const maskDescription =
  "What is repainted: a picture of the starter's proportions, white where it is repainted, black where the starter stays as it is, grey for soft edges. Transparent counts as black.";

/** The multipart form: the picture as a file part. */
export function formBody(config: Config) {
  return Type.Object(
    {
      image: Type.String({
        format: 'binary',
        description: `The starter picture: PNG, JPEG, WebP, AVIF, GIF or TIFF, at most ${config.MAX_UPLOAD_BYTES} bytes and ${config.MAX_INPUT_PIXELS} pixels.`,
      }),
      ...commonFields(config),
      mask: Type.Optional(Type.String({ format: 'binary', description: maskDescription })),
    },
    { additionalProperties: false },
  );
}

/** The same as JSON: the picture as base64. Nothing is coerced. */
export function jsonBody(config: Config) {
  return Type.Object(
    {
      image: Type.String({ minLength: 1, description: 'The starter picture as base64 or as a `data:` URI.' }),
      ...commonFields(config),
      mask: Type.Optional(
        Type.String({ minLength: 1, description: `${maskDescription} As base64 or as a \`data:\` URI.` }),
      ),
    },
    { additionalProperties: false, examples: [exampleBody] },
  );
}

/** What a sheet's request has beside, and instead of `n` and `preview`. */
function axes(values: (description: string, example?: readonly number[]) => TSchema, { MAX_SHEET_CELLS }: Config) {
  const field = (which: string, options = {}) =>
    Type.Enum([...axisFields], { type: 'string', description: `What changes ${which}.`, ...options });
  return {
    x_field: field('from column to column', { examples: ['influence'] }),
    x_values: values(`Its values, at most ${MAX_SHEET_CELLS} pictures in all.`, [0, 25, 50, 75]),
    y_field: Type.Optional(field('from row to row; absent for a sheet of one row')),
    y_values: Type.Optional(values('Its values.')),
  };
}

function sheetFields(config: Config) {
  const { n: _n, preview: _preview, ...fields } = commonFields(config);
  delete (fields.influence as { examples?: unknown }).examples; // in the example it is the axis
  return fields;
}

const exampleBody = {
  image: exampleStarter,
  prompt: examplePrompt,
  negative_prompt: exampleNegativePrompt,
  influence: exampleInfluence,
};

const value = Type.Union([Type.Number(), Type.String()]);

/** The multipart form of POST /img2img/sheet: values of an axis are one text, with `|` between them. */
export function sheetForm(config: Config) {
  const values = (description: string, example?: readonly number[]) =>
    Type.String({
      minLength: 1,
      description: `${description} With \`|\` between them: \`0|25|50\`.`,
      ...(example && { examples: [example.join('|')] }),
    });
  const { image, mask } = formBody(config).properties;
  return Type.Object({ image, ...axes(values, config), ...sheetFields(config), mask }, { additionalProperties: false });
}

export function sheetJson(config: Config) {
  const values = (description: string, example?: readonly number[]) =>
    Type.Array(value, { minItems: 1, description, ...(example && { examples: [example] }) });
  const { image, mask } = jsonBody(config).properties;
  const { influence: _, ...body } = exampleBody;
  const example = { ...body, x_field: 'influence', x_values: [0, 25, 50, 75] };
  return Type.Object(
    { image, ...axes(values, config), ...sheetFields(config), mask },
    { additionalProperties: false, examples: [example] },
  );
}

export type Img2ImgBody = Static<ReturnType<typeof jsonBody>>;
