// Gaussian noise equal to torch's CPU generator, so that a seed means the same picture here and in diffusers.
// Sources: Matsumoto & Nishimura 1998 (MT19937); ATen/native/cpu/DistributionTemplates.h, normal_fill (blocks of 16, Box-Muller);
// ATen/core/DistributionsHelper.h, normal_distribution (fewer than 16 numbers, in float64).

const N = 624;
const M = 397;
const BLOCK = 16; // normal_fill works on blocks of 16: 8 radii, 8 angles
const TWO_PI = Math.fround(2 * Math.PI);

/** One stream of random numbers, as `torch.Generator('cpu').manual_seed(seed)`. Each request owns one. */
export class TorchGenerator {
  private readonly state = new Uint32Array(N);
  private position = N;
  /** The second number of a pair, which torch keeps for the next short draw. */
  private kept: number | undefined;

  /** @param seed an integer; its low 32 bits count, as in torch's mt19937 engine */
  constructor(seed: number) {
    this.state[0] = seed >>> 0;
    for (let i = 1; i < N; i++) {
      const previous = this.state[i - 1]! ^ (this.state[i - 1]! >>> 30);
      this.state[i] = Math.imul(1812433253, previous) + i;
    }
  }

  /** `n` standard normal numbers in float32, as `torch.randn(n, generator=…)`. */
  randn(n: number): Float32Array {
    const values = new Float32Array(n);
    if (n < BLOCK) return values.map(() => this.normal());
    for (let i = 0; i < n; i++) values[i] = this.uniform();
    for (let start = 0; start + BLOCK <= n; start += BLOCK) boxMuller(values, start);
    if (n % BLOCK !== 0) {
      for (let i = n - BLOCK; i < n; i++) values[i] = this.uniform();
      boxMuller(values, n - BLOCK);
    }
    return values;
  }

  /** One number in float64, the other of its Box-Muller pair being kept. */
  private normal(): number {
    const kept = this.kept;
    this.kept = undefined;
    if (kept !== undefined) return kept;
    const theta = 2 * Math.PI * this.uniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniformDouble()));
    this.kept = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }

  /** In [0, 1) with 24 bits, as torch draws a float32. */
  private uniform(): number {
    return (this.next() & 0xffffff) * 2 ** -24;
  }

  /** In [0, 1) with 53 bits, as torch draws a float64: of two outputs, the first being the high one. */
  private uniformDouble(): number {
    const high = this.next() & 0x1fffff;
    return (high * 2 ** 32 + this.next()) * 2 ** -53;
  }

  private next(): number {
    if (this.position === N) this.twist();
    let y = this.state[this.position++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private twist(): void {
    const s = this.state;
    for (let i = 0; i < N; i++) {
      const y = (s[i]! & 0x80000000) | (s[(i + 1) % N]! & 0x7fffffff);
      s[i] = s[(i + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.position = 0;
  }
}

/** Turns 16 uniform numbers at `start` into 16 normal ones, in place. The angle is rounded as torch rounds it: it shows far out. */
function boxMuller(values: Float32Array, start: number): void {
  for (let j = start; j < start + BLOCK / 2; j++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[j]!));
    const theta = Math.fround(TWO_PI * values[j + BLOCK / 2]!);
    values[j] = radius * Math.cos(theta);
    values[j + BLOCK / 2] = radius * Math.sin(theta);
  }
}
