// What was changed or had no effect, by stable codes: nothing happens in silence.

import type { Generated } from '../../engine/host/engine.js';
import { guidanceRows } from '../../guidance.js';
import type { Conversion, Starter } from '../../image/host/picture-reader.js';
import { takesTrueGuidance } from '../../model-facts.js';
import { type ExtraNetwork, parsePrompt, wordsOf } from '../../prompt-syntax.js';
import type { Sent } from './fields.js';
import { isLora } from './lora-list.js';
import type { Parameters } from './parameters.js';
import { unknownWords } from './unknown-words.js';

export const warningCodes = {
  prompt_truncated:
    'The prompt has more tokens than are taken; its end was cut. `long_prompts` takes more, but not of models with a T5.',
  negative_prompt_truncated:
    'The negative prompt has more tokens than are taken; its end was cut. `long_prompts` takes more, but not of models with a T5.',
  prompt_beyond_clip: 'CLIP took the first 75 tokens of the prompt; what follows reached the T5 alone.',
  negative_prompt_beyond_clip:
    'CLIP took the first 75 tokens of the negative prompt; what follows reached the T5 alone.',
  negative_prompt_unused:
    'The negative prompt was not computed: guidance is at or below 1, of Flux true guidance; image guidance is below 1; or the model takes its guidance as an embedding.',
  guidance_unused:
    'Guidance had no effect: the model was distilled to do without one; or it takes image guidance too, and guidance must be above 1 and image guidance at least 1, or neither has an effect.',
  true_guidance_unused: 'The model takes no `true_guidance`: its `guidance` compares the prompts.',
  image_guidance_unused: 'The model takes no `image_guidance`: `influence` says how much of the starter stays.',
  prompt_words_unknown: "Words of the prompts are not in the model's vocabulary and may have no effect.",
  prompt_syntax_unused:
    'A prompt has what other programs read as more than words, such as (word:1.3), <lora:name> or [a:b:0.5], and it had no such effect. `prompt_syntax` weighted reads weights and LoRAs.',
  prompt_weight_limited:
    'Weights in a prompt are from -10 to 10 and in at most 32 brackets; what was beyond that was read as the nearest.',
  embedding_unused:
    'A prompt names a textual inversion that the model cannot take: it has other widths or too many vectors, or the text encoder is a graph that has no place for them. The name was read as words.',
  lora_keys_unused: 'The model has no place for some of the keys of its LoRAs.',
  vae_draw_unseeded: "The model's encoder draws by itself: the same seed does not give the same picture.",
  prompts_unused: 'No step ran, so that prompts and guidance had no effect.',
  strength_rounded_to_no_step: 'trunc(steps * strength) is 0: the picture went through the autoencoder only.',
  size_adjusted: 'The model cannot make the size that was asked for; the nearest that it can was made.',
  seed_wrapped: 'Seeds are taken modulo 2^32, and the seed that was sent is outside of that.',
  mask_empty: 'The mask leaves nothing to repaint: the answer is the starter, and nothing was computed.',
  starter_cropped: 'Parts of the starter were cut off to fill the size; `Img2img-Cropped` says what share of it.',
  size_chosen: "The answer's size differs from the starter's, and was not asked for.",
  colour_space_converted: 'The picture was converted to sRGB.',
  highlights_clipped: 'The picture is HDR: what is brighter than its white was clipped.',
  bit_depth_reduced: 'The picture was reduced to 8 bits per channel.',
  transparency_flattened: 'Transparency was filled with the background.',
  quality_unused: 'PNG is lossless, so that quality had no effect.',
  preview_unused: 'Previews are sent in event streams only, and not where flagged pictures are kept back.',
  safety_unchecked: 'The model has no safety checker: its pictures were not checked.',
  first_frame_used: 'Of an animation the first frame was used.',
} as const;
export type Warning = keyof typeof warningCodes;

const conversions = {
  colour_space: 'colour_space_converted',
  bit_depth: 'bit_depth_reduced',
  highlights: 'highlights_clipped',
  transparency: 'transparency_flattened',
  animation: 'first_frame_used',
} as const satisfies Record<Conversion, Warning>;

/** Less is lost to rounding. */
const croppedWorthTelling = 0.01;

/** @param result what is known only of a picture that was made */
export function warningsFor(
  sent: Sent,
  parameters: Parameters,
  starter: Starter,
  converted: readonly Conversion[],
  untouched: boolean,
  result?: Generated,
): Warning[] {
  const { size, schedule, cropped } = parameters;
  const { strength, prompt, negativePrompt } = parameters.request;
  const prompts = [syntaxOf(prompt, parameters.values, isLora), syntaxOf(negativePrompt, parameters.values)];
  const guided = isGuided(parameters);
  const noStep = schedule.stepsRun === 0 && !untouched;
  const sizeAsked = sent.width !== undefined || sent.height !== undefined;
  const sameSize = size.width === starter.width && size.height === starter.height;
  const cases: readonly [boolean, Warning][] = [
    [(result?.droppedTokens.prompt ?? 0) > 0, 'prompt_truncated'],
    [(result?.droppedTokens.negativePrompt ?? 0) > 0, 'negative_prompt_truncated'],
    [(result?.beyondClip.prompt ?? 0) > 0, 'prompt_beyond_clip'],
    [(result?.beyondClip.negativePrompt ?? 0) > 0, 'negative_prompt_beyond_clip'],
    [negativePrompt !== '' && !guided && !noStep && !untouched, 'negative_prompt_unused'],
    [asksForGuidance(sent, parameters) && (!guided || isTrueOnly(parameters)), 'guidance_unused'],
    [sent.true_guidance !== undefined && !takesTrueGuidance(parameters.model.rules), 'true_guidance_unused'],
    [sent.image_guidance !== undefined && !takesImageGuidance(parameters), 'image_guidance_unused'],
    [!noStep && !untouched && unknownOf(parameters).length > 0, 'prompt_words_unknown'],
    [prompts.some(({ unused }) => unused), 'prompt_syntax_unused'],
    [prompts.some(({ limited }) => limited), 'prompt_weight_limited'],
    [(result?.embeddings.unfit.length ?? 0) > 0, 'embedding_unused'],
    [(result?.unusedLoraKeys ?? 0) > 0, 'lora_keys_unused'],
    [result?.drawUnseeded === true, 'vae_draw_unseeded'],
    [noStep && (prompt !== '' || negativePrompt !== ''), 'prompts_unused'],
    [noStep && strength > 0, 'strength_rounded_to_no_step'],
    [untouched, 'mask_empty'],
    [!sizeAsked && !sameSize, 'size_chosen'],
    [cropped > croppedWorthTelling, 'starter_cropped'],
    [sent.quality !== undefined && parameters.values.format === 'png', 'quality_unused'],
  ];
  return [
    ...cases.filter(([applies]) => applies).map(([, code]) => code),
    ...converted.map((conversion) => conversions[conversion]),
  ];
}

/** Weights and extra networks, as AUTOMATIC1111's web UI writes them. */
const hasSyntax = (prompt: string) =>
  /\([^()]{1,200}:\s*-?\d*\.?\d+\s*\)|<(lora|lyco|hypernet):[^<>]{1,200}>/.test(prompt);

/** What of a prompt's syntax has no effect, or less than it asks for. @param used which extra networks have one */
function syntaxOf(
  prompt: string,
  { prompt_syntax, long_prompts }: Parameters['values'],
  used: (network: ExtraNetwork) => boolean = () => false,
) {
  if (prompt_syntax === 'plain') return { unused: hasSyntax(prompt), limited: false };
  const { pieces, networks, changes, limited } = parsePrompt(prompt);
  const breaks = !long_prompts && pieces.includes('break');
  return { unused: !networks.every(used) || changes || breaks, limited };
}

const isGuided = ({ request, model }: Parameters) => guidanceRows(request, model.rules).length > 1;

const isTrueOnly = ({ model }: Parameters) => model.rules.guidance === 'true_only';

const takesImageGuidance = ({ model }: Parameters) => model.rules.guidance === 'prompts_and_starter';

/** By one of the two that have an effect together only, or where none has one. */
function asksForGuidance({ guidance, image_guidance, influence, strength }: Sent, parameters: Parameters): boolean {
  if (isTrueOnly(parameters)) return guidance !== undefined;
  const weighs = [image_guidance, influence, strength].some((weight) => weight !== undefined);
  return takesImageGuidance(parameters) && (weighs || parameters.request.guidanceScale > 1);
}

/** Of the prompts that are computed. */
function unknownOf(parameters: Parameters): string[] {
  const { prompt, negativePrompt } = parameters.request;
  const computed = isGuided(parameters) ? [prompt, negativePrompt] : [prompt];
  return unknownWords(parameters.model, ...computed.map((text) => wordsOf(text, parameters.values.prompt_syntax)));
}

const maxNamed = 10;

/** What a warning may name. */
interface Told {
  readonly parameters: Parameters;
  readonly result?: Generated;
}

/** Warnings in words. @param pictures that they are about; what one of them has in its prompts is named */
export function warningBodies(
  warnings: readonly Warning[],
  pictures: readonly Told[],
): { code: Warning; detail: string }[] {
  return warnings.map((code) => ({ code, detail: `${warningCodes[code]}${namedIn(code, pictures)}` }));
}

/** What a warning is about, of one picture. */
const namesOf: Readonly<Partial<Record<Warning, (picture: Told) => readonly string[]>>> = {
  prompt_words_unknown: ({ parameters }) => unknownOf(parameters),
  embedding_unused: ({ result }) => result?.embeddings.unfit ?? [],
};

function namedIn(code: Warning, pictures: readonly Told[]): string {
  if (code === 'lora_keys_unused') {
    return ` Keys: ${Math.max(...pictures.map(({ result }) => result?.unusedLoraKeys ?? 0))}.`;
  }
  const names = [...new Set(pictures.flatMap((picture) => namesOf[code]?.(picture) ?? []))];
  if (names.length === 0) return '';
  const more = names.length > maxNamed ? `, and ${names.length - maxNamed} more` : '';
  return ` ${code === 'prompt_words_unknown' ? 'Not known' : 'Not used'}: ${names.slice(0, maxNamed).join(', ')}${more}.`;
}
