// Gaussian noise equal to torch's CPU generator, so that a seed means the same picture here and in diffusers.
// Sources: Matsumoto & Nishimura 1998 (MT19937); ATen/native/cpu/DistributionTemplates.h, normal_fill (blocks of 16, Box-Muller).

const N = 624;
const M = 397;
const BLOCK = 16; // normal_fill works on blocks of 16: 8 radii, 8 angles

/** One stream of random numbers, as `torch.Generator('cpu').manual_seed(seed)`. Each request owns one. */
export class TorchGenerator {
  private readonly state = new Uint32Array(N);
  private position = N;

  /** @param seed an integer; its low 32 bits count, as in torch's mt19937 engine */
  constructor(seed: number) {
    this.state[0] = seed >>> 0;
    for (let i = 1; i < N; i++) {
      const previous = this.state[i - 1]! ^ (this.state[i - 1]! >>> 30);
      this.state[i] = Math.imul(1812433253, previous) + i;
    }
  }

  /**
   * Standard normal numbers in float32, as `torch.randn(n, generator=…)`.
   * @param n how many, at least 16 (torch takes another path below; no latent is that small)
   */
  randn(n: number): Float32Array {
    if (n < BLOCK) throw new RangeError(`randn draws at least ${BLOCK} numbers, asked for ${n}`);
    const values = new Float32Array(n);
    for (let i = 0; i < n; i++) values[i] = this.uniform();
    for (let start = 0; start + BLOCK <= n; start += BLOCK) boxMuller(values, start);
    if (n % BLOCK !== 0) {
      for (let i = n - BLOCK; i < n; i++) values[i] = this.uniform();
      boxMuller(values, n - BLOCK);
    }
    return values;
  }

  /** In [0, 1) with 24 bits, as torch draws a float32. */
  private uniform(): number {
    return (this.next() & 0xffffff) * 2 ** -24;
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

/** Turns 16 uniform numbers at `start` into 16 normal ones, in place. */
function boxMuller(values: Float32Array, start: number): void {
  for (let j = start; j < start + BLOCK / 2; j++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[j]!));
    const theta = 2 * Math.PI * values[j + BLOCK / 2]!;
    values[j] = radius * Math.cos(theta);
    values[j + BLOCK / 2] = radius * Math.sin(theta);
  }
}
