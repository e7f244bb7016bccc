// Weights of tokens. Source: AUTOMATIC1111's web UI, sd_emphasis.py, its default "Original".

/**
 * Multiplies each token's embedding by its weight, then all of them so that the mean of the chunk is what it was.
 * @param embeds [tokens, width], of one chunk of one text encoder
 * @param weights [tokens]
 */
export function emphasised(embeds: Float32Array, weights: readonly number[]): Float32Array {
  if (weights.every((weight) => weight === 1)) return embeds;
  const width = embeds.length / weights.length;
  const weighted = embeds.map((value, i) => value * weights[Math.floor(i / width)]!);
  const restored = meanOf(embeds) / meanOf(weighted);
  return Number.isFinite(restored) ? weighted.map((value) => value * restored) : weighted;
}

const meanOf = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
