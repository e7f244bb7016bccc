import { readFileSync } from 'node:fs';
import t from 'tap';
import { TorchGenerator } from '../../src/pipeline/noise.js';

interface Draw {
  seed: number;
  sizes: number[];
  draws: number[][];
}
// Written by test/reference/noise.py with torch.
const draws: Draw[] = JSON.parse(readFileSync(new URL('../reference/noise.json', import.meta.url), 'utf8'));

t.test("draws equal torch's CPU generator, whether or not a size is a multiple of 16", async (t) => {
  for (const { seed, sizes, draws: expected } of draws) {
    const generator = new TorchGenerator(seed);
    sizes.forEach((size, k) => {
      const actual = generator.randn(size);
      const worst = Math.max(...expected[k]!.map((x, i) => Math.abs(actual[i]! - x)));
      t.ok(worst < 1e-6, `seed ${seed}, draw ${k + 1} of ${size}: ${worst}`);
    });
  }
});

t.test('fewer than 16 numbers are refused: torch draws them by another method', async (t) => {
  t.throws(() => new TorchGenerator(1).randn(15), RangeError);
});
