// What GET /models says of a model or a generator.

import { Type } from 'typebox';
import { schedulerNames } from '../engine/host/engine.js';
import {
  kinds,
  loraFamilies,
  partFormats,
  partNames,
  precisions,
  providers,
  weightPrecisions,
} from '../model-facts.js';

export const Model = Type.Object(
  {
    name: Type.String({ description: 'What the field `model` takes' }),
    kind: Type.Optional(
      Type.Enum([...kinds], {
        type: 'string',
        description:
          'Stable Diffusion 1.x and 2.x (`sd`, `sd-v` with v-prediction), XL, 3 and 3.5 (`sd3`), their turbo forms, Flux.1 (`flux`, and what follows a dash), latent consistency models, and models that edit by an instruction (`instruct-pix2pix`)',
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
    text_encoders: Type.Optional(Type.String({ description: 'The folder whose text encoders it runs with' })),
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
              'Where it is not 25: of a generator or a model that has another, and of a model that takes `image_guidance` what that comes to',
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
