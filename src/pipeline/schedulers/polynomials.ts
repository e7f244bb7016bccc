// The polynomials through known predictions, which multistep solvers integrate over a step.

/** Coefficients, lowest power first, of the polynomial that is 1 at node k and 0 at the others. */
export function lagrangeBasis(nodes: readonly number[], k: number): number[] {
  const node = nodes[k]!;
  let polynomial = [1];
  for (const other of nodes.filter((_, i) => i !== k)) {
    polynomial = [...polynomial, 0].map((x, i) => ((polynomial[i - 1] ?? 0) - other * x) / (node - other));
  }
  return polynomial;
}

/** For each node, the integral from `start` to `end` of its basis polynomial times e^(rate * (x - end)). */
export function basisIntegrals(nodes: readonly number[], start: number, end: number, rate: number): number[] {
  const step = end - start;
  const powers: number[] = []; // the same integrals of (x - start)^power
  for (let power = 0; power < nodes.length; power++) {
    if (rate === 0) powers.push(step ** (power + 1) / (power + 1));
    else if (power === 0) powers.push(-Math.expm1(-rate * step) / rate);
    else powers.push((step ** power - power * powers[power - 1]!) / rate);
  }
  const offsets = nodes.map((node) => node - start);
  return nodes.map((_, k) => lagrangeBasis(offsets, k).reduce((sum, c, power) => sum + c * powers[power]!, 0));
}
