// LoRAs as a request names them: `name:0.8, other`, a list of names and scales, or `<lora:name:0.8>` in a weighted prompt.

import type { LoraUse } from '../../engine/host/engine.js';
import { type ExtraNetwork, parsePrompt } from '../../prompt-syntax.js';
import { fieldProblem } from '../problems/problems.js';

export type SentLoras = string | readonly { readonly name: string; readonly scale?: number }[];

export interface NamedLora {
  readonly name: string;
  readonly scale: number;
}

export const scaleRange = { least: -10, most: 10 } as const;
const number = /^[-+]?(\d+(\.\d*)?|\.\d+)$/;

/**
 * @param inPrompt those that the prompt names, which come after
 * @param most that a request may name
 * @throws Problem for what is no list, a scale out of range, a name twice, or too many
 */
export function readLoras(sent: SentLoras, inPrompt: readonly NamedLora[], most: number): NamedLora[] {
  const own =
    typeof sent === 'string' ? listed(sent) : sent.map(({ name, scale = 1 }) => ({ name: name.trim(), scale }));
  const loras = [...own, ...inPrompt];
  if (loras.length > most) throw problem(`lora names ${loras.length} LoRAs; at most ${most} are taken.`);
  for (const [i, { name, scale }] of loras.entries()) {
    if (name === '') throw problem('lora has an entry without a name.');
    if (!(scale >= scaleRange.least && scale <= scaleRange.most)) {
      throw problem(
        `lora has the scale ${scale} for ${JSON.stringify(name)}; it must be from ${scaleRange.least} to ${scaleRange.most}.`,
      );
    }
    if (loras.findIndex((other) => other.name === name) < i) throw problem(`lora names ${JSON.stringify(name)} twice.`);
  }
  return loras;
}

/** The last colon separates. */
function listed(text: string): NamedLora[] {
  const entries = text.split(',').map((entry) => entry.trim());
  return entries.filter((entry) => entry !== '').map(named);
}

function named(entry: string): NamedLora {
  const colon = entry.lastIndexOf(':');
  if (colon === -1) return { name: entry, scale: 1 };
  const [name, scale] = [entry.slice(0, colon).trim(), entry.slice(colon + 1).trim()];
  if (number.test(scale)) return { name, scale: Number(scale) };
  throw problem(
    `lora has ${JSON.stringify(entry.slice(0, 100))}; after its last colon must be a scale, a number from ${scaleRange.least} to ${scaleRange.most}.`,
  );
}

/** What the device gets: in one order, since sums of floats depend on it, and without those that change nothing. */
export function usedLoras(loras: readonly LoraUse[]): readonly LoraUse[] | undefined {
  const used = loras.filter(({ scale }) => scale !== 0);
  return used.length === 0 ? undefined : used.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * What a weighted prompt has as `<lora:name:0.8>`; without a number the scale is 1.
 * @throws Problem for one that has two scales, or none that is a number
 */
export function lorasInPrompt(prompt: string): NamedLora[] {
  const { networks } = parsePrompt(prompt);
  return networks.filter(isLora).map(({ argument }) => {
    const [name = '', ...scales] = argument.split(':').map((part) => part.trim());
    const [scale = '1', second = scale] = scales;
    if (number.test(scale) && Number(scale) === Number(second) && scales.length <= 2)
      return { name, scale: Number(scale) };
    const detail = `prompt has <lora:${argument.slice(0, 100)}>; a LoRA is written <lora:name> or <lora:name:scale>, with one scale for the UNet and the text encoders.`;
    throw fieldProblem('invalid_request', 'prompt', detail);
  });
}

/** The one kind of extra network that there is here. */
export const isLora = ({ kind }: ExtraNetwork): boolean => kind === 'lora';

const problem = (detail: string) => fieldProblem('invalid_request', 'lora', detail);
