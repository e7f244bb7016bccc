// The fields of a request for pictures, an entry each: name, range, default, meaning, how it settles, how it is told. Both body
// forms, the OpenAPI document, the answer's headers and JSON, a sheet's axes and what /v1 shares follow from this table.

import { Type } from 'typebox';
import type { Config } from '../../config.js';
import { type LoraUse, schedulerNames } from '../../engine/host/engine.js';
import { parseColour } from '../../image/colour.js';
import { defaultQuality, type Format, formats } from '../../image/encode.js';
import type { Fit } from '../../image/host/picture-reader.js';
import { takesTrueGuidance } from '../../model-facts.js';
import { type PromptSyntax, promptSyntaxes } from '../../prompt-syntax.js';
import { fieldProblem } from '../problems/problems.js';
import { exampleInfluence, exampleNegativePrompt, examplePrompt } from './example.js';
import { field, type SentOf, type ValuesOf } from './field.js';
import { lorasInPrompt, readLoras, type SentLoras, scaleRange } from './lora-list.js';
import { starterWeight } from './starter-weight.js';

/** Seeds are what torch's generator distinguishes. */
export const maxSeed = 2 ** 32 - 1;

/** Characters; the names of folders and files are shorter. */
export const longestModelName = 500;

const defaults = { fit: 'cover', background: 'white', format: 'png' } as const;

const text = (description: string, example: string) => (config: Config) =>
  Type.String({ maxLength: config.MAX_PROMPT_CHARS, default: '', description, examples: [example] });

interface Told {
  readonly notInSheets?: true;
  readonly onV1?: true;
  readonly told?: string;
  readonly caption?: () => string;
}

const flag = (description: string, more: Told = {}) =>
  field({ ...more, schema: () => Type.Boolean({ default: false, description }), settle: (sent) => sent ?? false });

const side = (description: string, which: 'width' | 'height') =>
  field({ schema: () => Type.Integer({ minimum: 1, description }), settle: (_, { size }) => size[which] });

export const fields = {
  prompt: field({
    schema: text('What to move towards.', examplePrompt),
    settle: (sent) => sent ?? '',
    swept: true,
    caption: (value) => `prompt: ${value}`,
  }),
  negative_prompt: field({
    schema: text(
      'What to move away from. Has no effect when `guidance`, or of Flux `true_guidance`, is at or below 1.',
      exampleNegativePrompt,
    ),
    settle: (sent) => sent ?? '',
    swept: true,
    onV1: true,
    caption: (value) => value && `negative prompt: ${value}`,
  }),
  influence: field({
    schema: () =>
      Type.Number({
        minimum: 0,
        maximum: 100,
        examples: [exampleInfluence],
        description:
          "The starter's weight in percent, exactly `100 * (1 - strength)`: 100 stays as close as the model can, 0 leaves its colours only. Neither `strength` nor `influence` means the model's default, as `GET /models` tells it; where it tells none, 25. For models that take `image_guidance` it is another name of that: `image_guidance = 1 + influence / 50`.",
      }),
    settle: (_, { sent, model }) => starterWeight(sent, model).influence,
    told: 'Influence in percent; absent where the model takes `image_guidance` and none was sent',
    maybeAbsent: true,
    swept: true,
    onV1: true,
    caption: (value, { strength }, swept) =>
      value === undefined || swept.includes('strength')
        ? ''
        : `influence ${value} %${strength === undefined ? '' : `, strength ${strength}`}`,
  }),
  strength: field({
    schema: () =>
      Type.Number({
        minimum: 0,
        maximum: 1,
        description:
          'How much of the noise schedule is run, as in diffusers: 0 keeps the starter, 1 leaves its colours only. `strength` and `influence` are two names for one thing; send one of them. Neither means the default of the model, as for `influence`. Models that take `image_guidance` run the whole schedule.',
      }),
    settle: (_, { sent, model }) => starterWeight(sent, model).strength,
    told: 'Strength; absent where the model takes `image_guidance`',
    maybeAbsent: true,
    swept: true,
    onV1: true,
    caption: () => '',
  }),
  guidance: field({
    schema: () =>
      Type.Number({
        minimum: 0,
        maximum: 30,
        description:
          "Classifier-free guidance scale: how far the prompts pull. At or below 1 the negative prompt is not computed, and a step costs half. Flux takes it as an input, and `true_guidance` compares its prompts. Absent means the model's default.",
      }),
    settle: (sent, { model }) => sent ?? model.defaults.guidance,
    told: 'Guidance scale',
    swept: true,
    onV1: true,
  }),
  image_guidance: field({
    schema: () =>
      Type.Number({
        minimum: 0,
        maximum: 30,
        description:
          "How far the starter pulls, of models that edit by an instruction (kind `instruct-pix2pix`); others ignore it. Below 1, or with `guidance` at or below 1, nothing is guided, and a step costs a third. Not together with `influence` or `strength`, which are other names of it there. Absent means the model's default, which is diffusers' 1.5.",
      }),
    settle: (_, { sent, model }) => starterWeight(sent, model).imageGuidance,
    told: 'Image guidance scale; absent where the model takes none',
    maybeAbsent: true,
    swept: true,
    onV1: true,
    caption: (value, _, swept) =>
      value === undefined || swept.includes('influence') || swept.includes('strength') ? '' : `image guidance ${value}`,
  }),
  true_guidance: field({
    schema: () =>
      Type.Number({
        minimum: 0,
        maximum: 30,
        description:
          "How far the prompts pull apart, of models whose `guidance` is an input or has no effect (kinds that begin with `flux`); others ignore it. Above 1 the negative prompt is computed, and a step costs twice as much: diffusers' `true_cfg_scale`. Absent means 1.",
      }),
    settle: (sent, { model }) => (takesTrueGuidance(model.rules) ? (sent ?? 1) : undefined),
    told: 'True guidance scale; absent where the model takes none',
    maybeAbsent: true,
    swept: true,
    onV1: true,
    caption: (value) => (value === undefined || value === 1 ? '' : `true guidance ${value}`),
  }),
  seed: field({
    schema: () =>
      Type.Integer({
        minimum: -1,
        maximum: maxSeed,
        format: 'int64',
        description:
          'The same request with the same seed gives the same bytes on the same engine. Absent or -1 draws one; the answer tells it. Picture i of `n` has the seed `(seed + i) mod 2^32`.',
      }),
    settle: (sent) => sent ?? 0, // each picture has one: eachSeed
    told: 'The seed, drawn or given; of the first picture',
    swept: true,
    onV1: true,
  }),
  model: field({
    schema: () =>
      Type.String({
        minLength: 1,
        maxLength: longestModelName,
        description:
          'A name from `GET /models`, of a model or a generator. Absent means the default, which `GET /models` marks.',
      }),
    settle: (sent, { model }) => sent ?? model.name, // a generator's too
    told: 'Model',
    swept: true,
  }),
  lora: field({
    schema: ({ MAX_LORAS }) =>
      Type.Unsafe<SentLoras>({
        type: ['string', 'array'],
        maxLength: 8000,
        maxItems: MAX_LORAS,
        items: Type.Object(
          {
            name: Type.String({ minLength: 1, maxLength: 200 }),
            scale: Type.Optional(Type.Number({ minimum: scaleRange.least, maximum: scaleRange.most, default: 1 })),
          },
          { additionalProperties: false },
        ),
        description: `LoRAs that change the model, by names from \`GET /loras\`, each with a scale from ${scaleRange.least} to ${scaleRange.most}, 1 if absent: \`name:0.8, other\`, or in JSON also a list of \`name\` and \`scale\`. At most ${MAX_LORAS}. A scale of 0 is as good as none.`,
      }),
    settle(sent, { sent: { prompt, prompt_syntax }, lora, maxLoras }): readonly LoraUse[] {
      const inPrompt = prompt_syntax === 'weighted' ? lorasInPrompt(String(prompt ?? '')) : [];
      const named = readLoras(sent ?? '', inPrompt, maxLoras);
      return named.map(({ name, scale }) => ({ name, scale, digest: lora(name).digest }));
    },
    swept: true,
    onV1: true,
    caption: (loras) => loras.map(({ name, scale }) => `${name} ${scale}`).join(', '),
  }),
  steps: field({
    schema: ({ MAX_STEPS }) =>
      Type.Integer({
        minimum: 1,
        maximum: MAX_STEPS,
        description:
          "Length of the full schedule; `trunc(steps * strength)` of them are run, of flow matching models (Stable Diffusion 3, Flux) `steps - trunc(steps - steps * strength)`, of models that take `image_guidance` all. Absent means the model's default.",
      }),
    settle: (sent, { model }) => sent ?? model.defaults.steps,
    told: 'Length of the full schedule',
    swept: true,
    onV1: true,
  }),
  scheduler: field({
    schema: () =>
      Type.Enum(schedulerNames, {
        description: "The noise scheduler. Absent means the model's default.",
        type: 'string',
      }),
    settle: (sent, { model }) => sent ?? model.defaults.scheduler,
    told: 'Noise scheduler',
    swept: true,
    onV1: true,
  }),
  prompt_syntax: field({
    schema: () =>
      Type.Enum([...promptSyntaxes], {
        type: 'string',
        default: 'plain',
        description:
          "How the prompts are read: `plain`, all of it as words; `weighted`, as AUTOMATIC1111's web UI does: `(x)`, `[x]` and `(x:1.3)` weigh, `\\(` is a bracket, and `<lora:name:0.8>` names a LoRA.",
      }),
    settle: (sent): PromptSyntax => sent ?? 'plain',
    told: 'How the prompts were read',
    onV1: true,
    caption: () => '',
  }),
  long_prompts: flag(
    "Prompts beyond the text encoder's limit, 75 tokens, go on in up to 8 chunks instead of being cut. Models whose graph takes one length cut all the same.",
    { told: 'Whether long prompts go on in chunks', onV1: true, caption: () => '' },
  ),
  n: field({
    schema: ({ MAX_N }) =>
      Type.Integer({
        minimum: 1,
        maximum: MAX_N,
        default: 1,
        description:
          'Pictures to make, each with a seed of its own. More than one are answered as JSON or as an event stream.',
      }),
    settle: (sent) => sent ?? 1,
    notInSheets: true,
  }),
  width: side(
    "Width of the answer, a multiple of the model's step. Without `width` and `height` it is the size nearest to the starter's aspect among those within 25 % of the model's native area; with one of them the other follows the aspect.",
    'width',
  ),
  height: side('Height of the answer; see `width`.', 'height'),
  fit: field({
    schema: () =>
      Type.Enum(['cover', 'contain', 'fill', 'extend'], {
        type: 'string',
        default: defaults.fit,
        description:
          'How the starter meets another aspect: cut to fill, fitted with bars, stretched, or fitted with bars that repeat its edges.',
      }),
    settle: (sent): Fit => sent ?? defaults.fit,
  }),
  background: field({
    schema: () =>
      Type.String({
        minLength: 1,
        maxLength: 40,
        default: defaults.background,
        description:
          'What transparency and the bars of `contain` are filled with: `#rgb`, `#rrggbb` or a CSS colour name.',
        examples: ['white', '#204060'],
      }),
    async settle(sent) {
      const colour = await parseColour(sent ?? defaults.background);
      if (colour) return colour;
      const detail = `background is ${JSON.stringify(sent)}; it must be #rgb, #rrggbb or a CSS colour name.`;
      throw fieldProblem('invalid_request', 'background', detail);
    },
  }),
  format: field({
    schema: () =>
      Type.Enum([...formats], {
        type: 'string',
        description:
          'Format of the picture; beats the picture types of the `Accept` header. Absent means what `Accept` prefers, PNG in a tie.',
      }),
    settle: (sent): Format => sent ?? defaults.format,
  }),
  quality: field({
    schema: () =>
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: `Of the lossy formats. Absent means ${defaultQuality.jpeg} for JPEG and WebP, ${defaultQuality.avif} for AVIF. Has no effect on PNG.`,
      }),
    settle: (sent, { sent: { format } }) => sent ?? defaultQuality[(format as Format | undefined) ?? defaults.format],
  }),
  dry_run: flag(
    'Makes no picture: checks the request and answers as JSON with what would run, how long it would wait and run, and the memory that it would take on the device.',
  ),
  preview: flag('In an event stream: a small, rough picture with every step. Has no effect on the other answers.', {
    notInSheets: true,
  }),
  embed_parameters: flag(
    "Writes what ran, prompts included, into the picture's XMP metadata as JSON (`img2img:Parameters`). Without it the picture carries only the mark that a model made it.",
  ),
} as const;

/** What a body has of them, as its client sent it. */
export type Sent = SentOf<typeof fields>;
/** What they come to. */
export type Values = ValuesOf<typeof fields>;
