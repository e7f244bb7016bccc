// How the predictions for the prompt and the negative prompt become one.

/**
 * Classifier-free guidance (Ho & Salimans 2022): [negative row, prompt row] -> one prediction.
 * @param rescale 0..1, section 3.4 of Lin et al. 2024: how far the result gets the spread of the prompt's row
 */
export function guide(outputs: Float32Array, scale: number, rescale: number): Float32Array {
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
