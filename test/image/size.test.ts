import t from 'tap';
import { coverCuts, outputSize, SizeError } from '../../src/image/size.js';

const sizes = { native: 256, multiple: 32, min: 128, max: 512 };

t.test('the size of the answer', async (t) => {
  const cases: [starter: [number, number], asked: { width?: number; height?: number }, expected: [number, number]][] = [
    [[256, 256], {}, [256, 256]],
    [[4000, 3000], {}, [256, 192]],
    [[3000, 4000], {}, [192, 256]],
    [[512, 256], {}, [384, 192]],
    [[256, 512], {}, [192, 384]],
    [[1600, 900], {}, [352, 192]], // 1.83 is nearer to 1.78 than 320 x 192 is
    [[1000, 1010], {}, [256, 256]],
    [[600, 400], {}, [288, 192]],
    [[8000, 1000], {}, [512, 128]], // as far as the range goes
    [[10_000, 100], {}, [512, 128]],
    [[400, 200], { width: 512 }, [512, 256]],
    [[400, 200], { height: 128 }, [256, 128]],
    [[400, 200], { width: 128, height: 512 }, [128, 512]],
  ];
  for (const [[width, height], asked, expected] of cases) {
    const size = outputSize({ width, height }, asked, sizes);
    t.strictSame([size.width, size.height], expected, `${width} x ${height}, asked ${JSON.stringify(asked)}`);
  }
});

t.test('a side that cannot be made is refused with the nearest that can', async (t) => {
  const refusal = (asked: { width?: number; height?: number }) => () =>
    outputSize({ width: 256, height: 256 }, asked, sizes);
  t.throws(refusal({ width: 300 }), { field: 'width', message: /multiple of 32. The nearest: 288 and 320/ });
  t.throws(refusal({ height: 96 }), { field: 'height', message: /height is 96; this model makes 128 to 512/ });
  t.throws(
    refusal({ width: 544 }),
    new SizeError('width', 'width is 544; this model makes 128 to 512, in steps of 32.'),
  );
});

t.test(
  'no size within a quarter of the native area is nearer to the aspect, and of equals the area is the nearest',
  async (t) => {
    const fine = { native: 512, multiple: 64, min: 64, max: 1024 };
    const areaOf = ({ width, height }: { width: number; height: number }) => (width * height) / 512 ** 2;
    for (const [width, height] of [
      [1, 1],
      [3, 2],
      [2, 3],
      [16, 9],
      [21, 9],
      [1, 2],
      [5, 4],
      [7, 1],
      [100, 99],
    ] as const) {
      const size = outputSize({ width, height }, {}, fine);
      const off = (one: { width: number; height: number }) =>
        Math.abs(Math.log((one.width / one.height) * (height / width)));
      t.ok(Math.abs(areaOf(size) - 1) <= 0.25, `${width}:${height} has an area of ${areaOf(size)}`);
      for (let w = 64; w <= 1024; w += 64) {
        for (let h = 64; h <= 1024; h += 64) {
          const other = { width: w, height: h };
          if (Math.abs(areaOf(other) - 1) > 0.25) continue;
          const nearer = off(other) < off(size) - 1e-9;
          const sameButNearer =
            off(other) < off(size) + 1e-9 &&
            Math.abs(Math.log(areaOf(other))) < Math.abs(Math.log(areaOf(size))) - 1e-9;
          if (nearer || sameButNearer)
            t.fail(`${width}:${height} gives ${size.width} x ${size.height}, not ${w} x ${h}`);
        }
      }
    }
  },
);

t.test('what cover cuts', async (t) => {
  const cases: [starter: [number, number], size: [number, number], share: number][] = [
    [[256, 256], [512, 512], 0],
    [[600, 100], [512, 128], 1 - 4 / 6],
    [[100, 600], [128, 512], 1 - 4 / 6],
    [[512, 256], [256, 256], 0.5],
  ];
  for (const [[sw, sh], [width, height], share] of cases) {
    const cut = coverCuts({ width: sw, height: sh }, { width, height });
    t.ok(Math.abs(cut - share) < 1e-9, `${sw} x ${sh} to ${width} x ${height}: ${cut}`);
  }
});
