// The fields of POST /v1/images/edits: OpenAI's names, and ours where OpenAI has none. What OpenAI's mean is OpenAI's to say.

import { type Static, Type } from 'typebox';
import type { Config } from '../../config.js';
import { inForm, schemasOf } from '../pictures/bodies.js';
import { examplePrompt } from '../pictures/example.js';
import type { FieldTable } from '../pictures/field.js';
import { longestModelName, type Sent } from '../pictures/fields.js';

const picture = (description: string) => Type.String({ format: 'binary', description });
const choice = <T extends string>(values: T[], description: string, initial: T) =>
  Type.Optional(Type.Enum(values, { type: 'string', default: initial, description }));

const maskMeaning =
  'A picture of which the transparent places are repainted; it is fitted to the answer as the starter is.';

/** OpenAI's own, but for the pictures. */
function ownFields(config: Config) {
  return {
    prompt: Type.String({
      minLength: 1,
      maxLength: config.MAX_PROMPT_CHARS,
      description: 'What to move towards.',
      examples: [examplePrompt],
    }),
    model: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: longestModelName,
        description:
          'A name from `GET /v1/models`, or an alias of `MODEL_ALIASES`. Absent means the default, which `GET /models` marks.',
      }),
    ),
    n: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: config.MAX_N,
        default: 1,
        description: 'Pictures, each with its own seed.',
      }),
    ),
    size: Type.Optional(
      Type.String({
        pattern: '^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$',
        default: 'auto',
        description:
          "`auto`, which keeps the starter's aspect at about the model's native area, or width x height, multiples of the model's step. Of OpenAI's own sizes, such as `1024x1024`, one that the model cannot make is made as the nearest that it can, with the warning `size_adjusted`.",
        examples: ['auto', '256x256'],
      }),
    ),
    quality: choice(
      ['auto', 'low', 'medium', 'high', 'standard', 'hd'],
      "The work that is put in: `low` is half the model's default steps, `high` and `hd` are twice as many; the others leave them. `steps` beats it.",
      'auto',
    ),
    background: choice(['auto', 'opaque', 'transparent'], 'Pictures are opaque: `transparent` is refused.', 'auto'),
    output_format: choice(['png', 'jpeg', 'webp'], 'Format of the pictures.', 'png'),
    output_compression: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 100, default: 100, description: 'Quality of JPEG and WebP; not for PNG.' }),
    ),
    response_format: choice(['b64_json', 'url'], 'Pictures are not stored: `url` is refused.', 'b64_json'),
    stream: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Answer with events: `image_edit.partial_image` on the way, `image_edit.completed` per picture.',
      }),
    ),
    partial_images: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3,
        default: 0,
        description:
          'With `stream`: how many previews of the first picture to send on the way, made from its latents; fewer if it has fewer steps.',
      }),
    ),
    input_fidelity: Type.Optional(
      Type.String({ maxLength: 100, description: 'Has no effect: send `influence` or `strength`.' }),
    ),
    user: Type.Optional(Type.String({ maxLength: 1000, description: 'Has no effect.' })),
  };
}

type Own = Static<ReturnType<typeof Type.Object<ReturnType<typeof ownFields>>>>;

/** What OpenAI adds to its API one day is taken, and named where it has no effect. */
const description =
  'Fields beyond these are taken, have no effect, and are named in `Img2img-Ignored-Fields`; in JSON null counts as absent.';

/** Of both body forms: OpenAI's fields, and those of the table that it shares. */
const textFields = (table: FieldTable, config: Config) => ({
  ...ownFields(config),
  ...schemasOf(table, config, ({ onV1 }) => onV1 === true),
});

export const editForm = (table: FieldTable, config: Config) =>
  Type.Object(
    {
      image: picture(
        `The starter picture, at most ${config.MAX_UPLOAD_BYTES} bytes; one. \`image[]\`, the name that clients give to a list, is taken as well.`,
      ),
      mask: Type.Optional(picture(maskMeaning)),
      ...inForm(textFields(table, config)),
    },
    { description },
  );

export const editJson = (table: FieldTable, config: Config) =>
  Type.Object(
    {
      images: Type.Array(Type.Ref('ImageReference'), {
        minItems: 1,
        maxItems: 1,
        description: 'The starter picture; one.',
      }),
      mask: Type.Optional(Type.Ref('ImageReference', { description: maskMeaning })),
      ...textFields(table, config),
    },
    { description },
  );

export type EditBody = Own & Omit<Sent, keyof Own>;

/** Names of what was sent and changes nothing. @param known the fields of either body form */
export function withoutEffect(body: EditBody, known: readonly object[]): string[] {
  const { stream = false, output_format = 'png' } = body;
  const names = [
    'input_fidelity',
    'user',
    ...(stream ? [] : ['partial_images']),
    ...(output_format === 'png' ? ['output_compression'] : []),
  ];
  const unknown = Object.keys(body).filter((name) => !known.some((fields) => Object.hasOwn(fields, name)));
  return [...names.filter((name) => name in body), ...unknown];
}

const Usage = Type.Object(
  {
    total_tokens: Type.Integer(),
    input_tokens: Type.Integer(),
    output_tokens: Type.Integer(),
    input_tokens_details: Type.Object({ text_tokens: Type.Integer(), image_tokens: Type.Integer() }),
  },
  { description: 'All zero: nothing is billed' },
);

/** What OpenAI's clients read; this server counts no tokens. */
export const noUsage: Static<typeof Usage> = {
  total_tokens: 0,
  input_tokens: 0,
  output_tokens: 0,
  input_tokens_details: { text_tokens: 0, image_tokens: 0 },
};

const about = {
  background: Type.Literal('opaque'),
  output_format: Type.String(),
  quality: Type.String(),
  size: Type.String({ description: 'Width x height' }),
};

/** An event's data. */
export const EditEvent = Type.Object(
  {
    type: Type.Enum(['image_edit.partial_image', 'image_edit.completed'], { type: 'string' }),
    b64_json: Type.String(),
    created_at: Type.Integer({ description: 'Unix time in seconds' }),
    ...about,
    partial_image_index: Type.Optional(Type.Integer()),
    seed: Type.Optional(Type.Integer({ format: 'int64', description: "This server's addition" })),
    usage: Type.Optional(Usage),
  },
  { $id: 'EditEvent' },
);

export const Edited = Type.Object(
  {
    created: Type.Integer({ description: 'Unix time in seconds' }),
    data: Type.Array(
      Type.Object({
        b64_json: Type.String({ description: 'The picture in base64' }),
        seed: Type.Integer({ format: 'int64', description: "This server's addition" }),
      }),
    ),
    ...about,
    usage: Usage,
  },
  { $id: 'Edited' },
);

export const OpenAiModel = Type.Object(
  {
    id: Type.String({ description: 'What the field `model` takes' }),
    object: Type.Literal('model'),
    created: Type.Integer(),
    owned_by: Type.String(),
  },
  { $id: 'OpenAiModel' },
);

export const OpenAiError = Type.Object(
  {
    error: Type.Object({
      message: Type.String({ description: 'A sentence for a person: field, value and limit' }),
      type: Type.String(),
      param: Type.Union([Type.String(), Type.Null()], { description: 'The field that is wrong' }),
      code: Type.String({ description: "Stable; a problem's code, or OpenAI's word for it" }),
    }),
  },
  { $id: 'OpenAiError' },
);
