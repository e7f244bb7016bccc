// The quantile of the beta distribution with both shapes equal, which spreads sigmas towards both ends of a schedule.
// Source: DLMF 8.17.7 and 8.17.8, the incomplete beta function as a power series.

/**
 * @param p 0..1
 * @param shape above 0
 * @returns x in 0..1 with P(X <= x) = p, to the last digits of a double
 */
export function betaQuantile(p: number, shape: number): number {
  if (p > 0.5) return 1 - betaQuantile(1 - p, shape); // the distribution is symmetric
  if (p <= 0) return 0;
  const wanted = 2 * p * incompleteBeta(0.5, shape); // half of the whole lies below a half
  let [low, high] = [0, 0.5];
  let x = Math.min((wanted * shape) ** (1 / shape), high); // the series' first term alone
  for (let round = 0; round < 60; round++) {
    const error = incompleteBeta(x, shape) - wanted;
    if (error > 0) high = x;
    else low = x;
    const newton = x - error / (x * (1 - x)) ** (shape - 1);
    const next = newton > low && newton < high ? newton : (low + high) / 2;
    if (Math.abs(next - x) <= 1e-16 * x) return next;
    x = next;
  }
  return x;
}

/** The integral of (t (1 - t))^(shape - 1) from 0 to x, for x up to a half, where the series halves its terms at least. */
function incompleteBeta(x: number, shape: number): number {
  let sum = 0;
  for (let n = 0, term = x ** shape; n < 60; n++) {
    sum += term / (shape + n);
    term *= (x * (n + 1 - shape)) / (n + 1);
  }
  return sum;
}
