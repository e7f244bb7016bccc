// The fields of POST /sdapi/v1/img2img: the names and defaults of AUTOMATIC1111's web UI.

import { type Static, Type } from 'typebox';
import type { Config } from '../../config.js';
import { promptSyntaxes } from '../../prompt-syntax.js';
import { examplePrompt } from '../pictures/example.js';
import { longestModelName } from '../pictures/fields.js';
import { readBoolean, readNumber } from './reading.js';
import { samplers, schedules } from './samplers.js';

/** Characters. */
export const longestTaskName = 200;

export function webuiBody({ MAX_PROMPT_CHARS, MAX_STEPS, MAX_N }: Config) {
  const text = (description: string, examples: string[]) =>
    Type.Optional(Type.String({ maxLength: MAX_PROMPT_CHARS, default: '', description, examples }));
  const count = (initial: number, maximum: number, description: string) =>
    Type.Optional(Type.Integer({ minimum: 1, maximum, default: initial, description }));
  const flag = (initial: boolean, description: string) =>
    Type.Optional(Type.Boolean({ default: initial, description }));
  return Type.Object(
    {
      init_images: Type.Array(Type.String({ description: 'base64 or a `data:` URI' }), {
        minItems: 1,
        maxItems: 1,
        description: 'The starter picture; one.',
      }),
      prompt: text('What to move towards.', [examplePrompt]),
      negative_prompt: text('What to move away from.', ['blurry, dark']),
      prompt_syntax: Type.Optional(
        Type.Enum([...promptSyntaxes], {
          type: 'string',
          default: 'weighted',
          description:
            "This server's own: `plain` reads all of the prompts as words, as the web UI does with its emphasis `None`.",
        }),
      ),
      long_prompts: flag(true, "This server's own: false cuts prompts where the text encoder's limit is."),
      denoising_strength: Type.Optional(
        Type.Number({ minimum: 0, maximum: 1, default: 0.75, description: 'Our `strength`.' }),
      ),
      cfg_scale: Type.Optional(Type.Number({ minimum: 0, maximum: 30, default: 7, description: 'Our `guidance`.' })),
      image_cfg_scale: Type.Optional(
        Type.Number({
          minimum: 0,
          maximum: 30,
          default: 1.5,
          description:
            'Our `image_guidance`, of models that take it: `denoising_strength` has no effect beside it. Others ignore it.',
        }),
      ),
      steps: count(50, MAX_STEPS, 'Length of the full schedule.'),
      sampler_name: Type.Optional(
        Type.String({
          maxLength: 100,
          description: `${samplers.map(({ name }) => `\`${name}\``).join(', ')}. Absent means \`sampler_index\`.`,
          examples: ['Euler a'],
        }),
      ),
      sampler_index: Type.Optional(
        Type.String({ maxLength: 100, default: 'Euler', description: 'The older name of `sampler_name`.' }),
      ),
      scheduler: Type.Optional(
        Type.String({
          maxLength: 100,
          description: `${schedules.map((name) => `\`${name}\``).join(', ')}; absent means \`automatic\`: Karras for DPM++ 2M, DPM2 and DPM2 a, exponential for DPM++ 2M SDE, else uniform.`,
        }),
      ),
      seed: Type.Optional(
        Type.Integer({
          minimum: Number.MIN_SAFE_INTEGER,
          maximum: Number.MAX_SAFE_INTEGER,
          format: 'int64',
          default: -1,
          description:
            '-1 draws one; picture i uses seed + i. Seeds are taken modulo 2^32, with the warning `seed_wrapped` where that changes one.',
        }),
      ),
      batch_size: count(1, MAX_N, `Pictures; \`batch_size\` times \`n_iter\` at most ${MAX_N}.`),
      n_iter: count(1, MAX_N, 'Times `batch_size`.'),
      width: count(512, 16_384, "Width of the answer, a multiple of the model's step."),
      height: count(512, 16_384, "Height of the answer, a multiple of the model's step."),
      resize_mode: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 2,
          default: 0,
          description: "0 stretches, 1 cuts to fill, 2 fits and fills the rest with the picture's edges.",
        }),
      ),
      mask: Type.Optional(Type.String({ description: 'base64 or a `data:` URI; white is repainted, the rest stays.' })),
      mask_blur: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 64,
          default: 4,
          description: "Softens the mask's edges, in pixels of the answer.",
        }),
      ),
      inpainting_mask_invert: Type.Optional(
        Type.Integer({ minimum: 0, maximum: 1, default: 0, description: '1 repaints what is black.' }),
      ),
      inpainting_fill: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 3,
          default: 0,
          description: 'Has no effect: what is repainted starts from the picture itself, which is 1.',
        }),
      ),
      inpaint_full_res: flag(true, 'Has no effect: the whole picture is computed, which is false.'),
      override_settings: Type.Optional(
        Type.Object(
          {
            sd_model_checkpoint: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: longestModelName,
                description: 'A title, name or hash of `sd-models`.',
              }),
            ),
          },
          { description: 'Of these only the model has an effect.' },
        ),
      ),
      send_images: flag(true, 'False leaves the pictures out of the answer.'),
      include_init_images: flag(false, 'True leaves the starter in `parameters`.'),
      force_task_id: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: longestTaskName,
          description: 'A name for `progress` and `interrupt`.',
        }),
      ),
      script_name: Type.Optional(Type.String({ maxLength: 1000, description: 'Refused: there are no scripts.' })),
      alwayson_scripts: Type.Optional(
        Type.Object({}, { description: 'Refused unless it is empty: there are no extensions, and so no ControlNet.' }),
      ),
    },
    {
      description:
        'What the web UI has beyond these fields is taken, and named in `Img2img-Ignored-Fields` where it asks for something. As there, numbers and booleans may be text, and null and an empty text count as absent.',
    },
  );
}

export type WebuiBody = Static<ReturnType<typeof webuiBody>>;

/** Values that ask for nothing, of fields that have no effect here; clients send many of them with every request. */
const neutral = new Map<string, readonly unknown[]>(
  Object.entries({
    restore_faces: [false],
    tiling: [false],
    subseed: [-1, 0],
    subseed_strength: [0],
    seed_resize_from_h: [-1, 0],
    seed_resize_from_w: [-1, 0],
    eta: [0, 1],
    s_churn: [0],
    s_tmin: [0],
    s_tmax: [0],
    s_noise: [1],
    s_min_uncond: [0],
    initial_noise_multiplier: [1],
    save_images: [false],
    do_not_save_samples: [false, true],
    do_not_save_grid: [false, true],
    override_settings_restore_afterwards: [false, true],
    disable_extra_networks: [false, true],
    refiner_checkpoint: [''],
    refiner_switch_at: [0],
    infotext: [''],
    mask_blur_x: [4],
    mask_blur_y: [4],
    inpaint_full_res_padding: [0],
  }),
);

/** The same of `override_settings`. */
const neutralSettings = new Map<string, readonly unknown[]>(
  Object.entries({
    CLIP_stop_at_last_layers: [1],
    sd_vae: ['Automatic', 'None'],
    eta_noise_seed_delta: [0],
    img2img_color_correction: [false],
    samples_format: ['png'],
    emphasis: ['Original'],
    comma_padding_backtrack: [20],
  }),
);

/** As reading.ts would read it, whichever of the two it is. */
const plain = (value: unknown) => readNumber(readBoolean(value));

/** Whether a value is more than one of those that ask for nothing. */
export function asksFor(value: unknown, nothing: readonly unknown[] = []): boolean {
  return !isEmpty(value) && !nothing.some((one) => plain(one) === plain(value));
}

const isEmpty = (value: unknown) =>
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === 'object' && value !== null && Object.keys(value).length === 0);

/**
 * Names of what was sent, asks for something, and changes nothing.
 * @param takesImageGuidance whether the model does
 */
export function withoutEffect(body: WebuiBody, known: object, takesImageGuidance: boolean): string[] {
  const own = Object.entries(body)
    .filter(([name, value]) => !Object.hasOwn(known, name) && asksFor(value, neutral.get(name)))
    .map(([name]) => name);
  const { mask, inpainting_fill: fill = 1, inpaint_full_res: zoom = false, override_settings = {} } = body;
  const ofMasks = [...(fill === 1 ? [] : ['inpainting_fill']), ...(zoom ? ['inpaint_full_res'] : [])];
  const settings = Object.entries(override_settings)
    .filter(([name, value]) => name !== 'sd_model_checkpoint' && asksFor(value, neutralSettings.get(name)))
    .map(([name]) => `override_settings.${name}`);
  const { denoising_strength: strength = 0.75, image_cfg_scale: imageGuidance = 1.5 } = body;
  const beside = takesImageGuidance && body.image_cfg_scale !== undefined;
  const weights = [
    ...(beside && strength !== 0.75 ? ['denoising_strength'] : []),
    ...(!takesImageGuidance && imageGuidance !== 1.5 ? ['image_cfg_scale'] : []),
  ];
  return [...own, ...weights, ...(mask === undefined ? [] : ofMasks), ...settings];
}
