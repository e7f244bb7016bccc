import { readFileSync } from 'node:fs';
import t from 'tap';
import { TorchGenerator } from '../../src/pipeline/numbers/noise.js';

interface Draw {
  seed: number;
  sizes: number[];
  draws: number[][];
}
// Written by test/reference/noise.py with torch.
const draws: Draw[] = JSON.parse(readFileSync(new URL('../reference/noise.json', import.meta.url), 'utf8'));

t.test("draws equal torch's CPU generator: multiples of 16 or not, below 16, one after another", async (t) => {
  for (const { seed, sizes, draws: expected } of draws) {
    const generator = new TorchGenerator(seed);
    sizes.forEach((size, k) => {
      const drawn = generator.randn(size);
      const actual = size <= 300 ? drawn : [...drawn.filter((_, i) => i % 97 === 0), ...drawn.subarray(-16)];
      t.equal(actual.length, expected[k]!.length);
      const worst = Math.max(...expected[k]!.map((x, i) => Math.abs(actual[i]! - x)));
      t.ok(worst < 1e-6, `seed ${seed}, draw ${k + 1} of ${size}: ${worst}`);
    });
  }
});
