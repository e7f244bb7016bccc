// How the predictions of a request's rows become one.

import type { GuidanceKind, RequestRules } from '../../model-facts.js';

interface Scales {
  readonly guidanceScale: number;
  readonly imageGuidance?: number | undefined;
  readonly trueGuidance?: number | undefined;
}

interface Guiding {
  readonly family: { readonly rules: Pick<RequestRules, 'guidance'> };
  /** 0..1, section 3.4 of Lin et al. 2024: how far the result gets the spread of the prompt's row */
  readonly guidanceRescale: number;
}

/** Of as many rows as guidance compares, in the order of `guidanceRows`. */
const combinations: Readonly<
  Record<Exclude<GuidanceKind, 'embedded'>, (outputs: Float32Array, scales: Scales, rescale: number) => Float32Array>
> = {
  prompts: (outputs, { guidanceScale }, rescale) => classifierFree(outputs, guidanceScale, rescale),
  prompts_and_starter: (outputs, { guidanceScale, imageGuidance }) =>
    withImageGuidance(outputs, guidanceScale, imageGuidance!),
  distilled: (outputs, { trueGuidance }, rescale) => classifierFree(outputs, trueGuidance!, rescale),
  true_only: (outputs, { trueGuidance }, rescale) => classifierFree(outputs, trueGuidance!, rescale),
};

/** @param outputs [rows, ...latents], flat @returns that of one row as it is */
export function combineRows(
  outputs: Float32Array,
  rows: number,
  scales: Scales,
  { family, guidanceRescale }: Guiding,
): Float32Array {
  const { guidance } = family.rules;
  return rows === 1 || guidance === 'embedded' ? outputs : combinations[guidance](outputs, scales, guidanceRescale);
}

/** Brooks et al. 2023, equation 3: [prompt and starter, starter, nothing] -> one prediction. */
function withImageGuidance(outputs: Float32Array, scale: number, imageScale: number): Float32Array {
  const size = outputs.length / 3;
  const guided = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const [prompt, starter, nothing] = [outputs[i]!, outputs[size + i]!, outputs[2 * size + i]!];
    guided[i] = nothing + scale * (prompt - starter) + imageScale * (starter - nothing);
  }
  return guided;
}

/** Ho & Salimans 2022: [negative row, prompt row] -> one prediction. */
function classifierFree(outputs: Float32Array, scale: number, rescale: number): Float32Array {
  const size = outputs.length / 2;
  const negative = outputs.subarray(0, size);
  const positive = outputs.subarray(size);
  const guided = new Float32Array(size);
  for (let i = 0; i < size; i++) guided[i] = negative[i]! + scale * (positive[i]! - negative[i]!);
  if (rescale === 0) return guided;
  const factor = (rescale * deviation(positive)) / deviation(guided) + 1 - rescale;
  return guided.map((x) => x * factor);
}

/** Standard deviation with N - 1, as torch's std. */
function deviation(values: Float32Array): number {
  let sum = 0;
  for (const x of values) sum += x;
  const mean = sum / values.length;
  let squares = 0;
  for (const x of values) squares += (x - mean) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}
