import t from 'tap';
import { pixelsToSample, sampleToPixels } from '../../src/pipeline/numbers/latents.js';
import { TorchGenerator } from '../../src/pipeline/numbers/noise.js';
import { roundHalfEven } from '../../src/pipeline/schedulers/timesteps.js';

t.test('every byte comes back from its sample', async (t) => {
  const data = Uint8Array.from({ length: 3 * 256 }, (_, i) => i % 256);
  const pixels = { data, width: 16, height: 16 };
  const sample = pixelsToSample(pixels);
  for (const [byte, expected] of [
    [0, -1],
    [51, -0.6],
    [255, 1],
  ] as const)
    t.equal(sample[data.findIndex((value, i) => value === byte && i % 3 === 0) / 3], Math.fround(expected), `${byte}`);
  t.strictSame(sampleToPixels(sample, 16, 16), pixels);
});

t.test('samples are clamped, and halves rounded to even', async (t) => {
  for (const [sample, byte] of [
    [-1, 0],
    [-1.5, 0],
    [1, 255],
    [1.00001, 255],
    [40, 255],
    [Number.NEGATIVE_INFINITY, 0],
    [Number.POSITIVE_INFINITY, 255],
    [0, 128], // 127.5
  ] as const)
    t.strictSame(
      sampleToPixels(new Float32Array(3).fill(sample), 1, 1).data,
      new Uint8Array(3).fill(byte),
      `${sample}`,
    );
});

t.test('pixels are what numpy makes of the same samples', async (t) => {
  const side = 64;
  const sample = new TorchGenerator(1).randn(3 * side * side);
  const plane = side * side;
  const expected = Uint8Array.from({ length: sample.length }, (_, at) => {
    const value = sample[(at % 3) * plane + Math.floor(at / 3)]!;
    return roundHalfEven(Math.fround(Math.min(Math.max(value / 2 + 0.5, 0), 1)) * 255);
  });
  t.strictSame(sampleToPixels(sample, side, side).data, expected);
});
