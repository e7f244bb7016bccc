// What was changed or had no effect, by stable codes: nothing happens in silence.

import type { Generated } from '../../engine/host/engine.js';
import type { Conversion, Starter } from '../../image/decode.js';
import type { Img2ImgBody } from './fields.js';
import type { Parameters } from './parameters.js';
import { unknownWords } from './unknown-words.js';

export const warningCodes = {
  prompt_truncated: 'The prompt has more tokens than the text encoder takes; its end was cut.',
  negative_prompt_truncated: 'The negative prompt has more tokens than the text encoder takes; its end was cut.',
  prompt_words_unknown: "Words of the prompts are not in the model's vocabulary and may have no effect.",
  negative_prompt_unused:
    'The negative prompt was not computed: guidance is at or below 1, or the model takes its guidance as an embedding.',
  vae_draw_unseeded: "The model's encoder draws by itself: the same seed does not give the same picture.",
  prompts_unused: 'No step ran, so that prompts and guidance had no effect.',
  strength_rounded_to_no_step: 'trunc(steps * strength) is 0: the picture went through the autoencoder only.',
  size_chosen: "The answer's size differs from the starter's, and was not asked for.",
  colour_space_converted: 'The picture was converted to sRGB.',
  bit_depth_reduced: 'The picture was reduced to 8 bits per channel.',
  transparency_flattened: 'Transparency was filled with the background.',
  quality_unused: 'PNG is lossless, so that quality had no effect.',
  preview_unused: 'Previews are sent in event streams only.',
  first_frame_used: 'Of an animation the first frame was used.',
} as const;
export type Warning = keyof typeof warningCodes;

const conversions = {
  colour_space: 'colour_space_converted',
  bit_depth: 'bit_depth_reduced',
  transparency: 'transparency_flattened',
  animation: 'first_frame_used',
} as const satisfies Record<Conversion, Warning>;

/** @param result what is known only of a picture that was made */
export function warningsFor(
  body: Img2ImgBody,
  parameters: Parameters,
  starter: Starter,
  converted: readonly Conversion[],
  result?: Generated,
): Warning[] {
  const { size, schedule } = parameters;
  const { strength, prompt, negativePrompt } = parameters.request;
  const guided = isGuided(parameters);
  const noStep = schedule.stepsRun === 0;
  const sizeAsked = body.width !== undefined || body.height !== undefined;
  const sameSize = size.width === starter.width && size.height === starter.height;
  const cases: readonly [boolean, Warning][] = [
    [(result?.droppedTokens.prompt ?? 0) > 0, 'prompt_truncated'],
    [(result?.droppedTokens.negativePrompt ?? 0) > 0, 'negative_prompt_truncated'],
    [!noStep && unknownOf(parameters).length > 0, 'prompt_words_unknown'],
    [negativePrompt !== '' && !guided && !noStep, 'negative_prompt_unused'],
    [result?.drawUnseeded === true, 'vae_draw_unseeded'],
    [noStep && (prompt !== '' || negativePrompt !== ''), 'prompts_unused'],
    [noStep && strength > 0, 'strength_rounded_to_no_step'],
    [!sizeAsked && !sameSize, 'size_chosen'],
    [body.quality !== undefined && parameters.format === 'png', 'quality_unused'],
  ];
  return [
    ...cases.filter(([applies]) => applies).map(([, code]) => code),
    ...converted.map((conversion) => conversions[conversion]),
  ];
}

const isGuided = ({ request, model }: Parameters) => request.guidanceScale > 1 && !model.guidanceEmbedded;

/** Of the prompts that are computed. */
const unknownOf = (parameters: Parameters) =>
  unknownWords(
    parameters.model,
    parameters.request.prompt,
    isGuided(parameters) ? parameters.request.negativePrompt : '',
  );

const maxNamed = 10;

/** Warnings in words. @param pictures that they are about; what one of them has in its prompts is named */
export function warningBodies(warnings: readonly Warning[], pictures: readonly Parameters[]) {
  return warnings.map((code) => ({ code, detail: `${warningCodes[code]}${namedIn(code, pictures)}` }));
}

function namedIn(code: Warning, pictures: readonly Parameters[]): string {
  if (code !== 'prompt_words_unknown') return '';
  const words = [...new Set(pictures.flatMap(unknownOf))];
  const more = words.length > maxNamed ? `, and ${words.length - maxNamed} more` : '';
  return ` Not known: ${words.slice(0, maxNamed).join(', ')}${more}.`;
}
