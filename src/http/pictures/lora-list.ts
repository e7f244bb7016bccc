// LoRAs as a request names them: `name:0.8, other`, a list of names and scales, or `<lora:name:0.8>` in a weighted prompt.

import type { LoraUse } from '../../engine/host/engine.js';
import { parsePrompt } from '../../prompt-syntax.js';
import { fieldProblem } from '../problems/problems.js';

export type SentLoras = string | readonly { readonly name: string; readonly scale?: number }[];

export interface NamedLora {
  readonly name: string;
  readonly scale: number;
}

export const scaleRange = { least: -10, most: 10 } as const;
const number = /^[-+]?(\d+(\.\d*)?|\.\d+)$/;

/**
 * @param prompt with more of them, in weighted syntax; empty where it is read as words
 * @param most that a request may name
 * @throws Problem for what is no list, a scale out of range, a name twice, or too many
 */
export function readLoras(sent: SentLoras, prompt: string, most: number): NamedLora[] {
  const named = typeof sent === 'string' ? listed(sent) : sent.map(({ name, scale = 1 }) => ({ name, scale }));
  const loras = [...named, ...inPrompt(prompt)];
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
  return entries.filter((entry) => entry !== '').map(entryOf);
}

function entryOf(entry: string): NamedLora {
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

/** `<lora:name:0.8>`, as AUTOMATIC1111's web UI reads it; without a number the scale is 1. */
function inPrompt(prompt: string): NamedLora[] {
  const loras = parsePrompt(prompt).networks.filter(({ kind }) => kind === 'lora');
  return loras.map(({ argument }) => {
    const [name = '', ...scales] = argument.split(':').map((part) => part.trim());
    const [scale = '1', second = scale] = scales;
    const same = Number(scale) === Number(second) && scales.length <= 2;
    if (number.test(scale) && same) return { name, scale: Number(scale) };
    const detail = `prompt has <lora:${argument.slice(0, 100)}>; a LoRA is written <lora:name> or <lora:name:scale>, with one scale for the UNet and the text encoders.`;
    throw fieldProblem('invalid_request', 'prompt', detail);
  });
}

const problem = (detail: string) => fieldProblem('invalid_request', 'lora', detail);
