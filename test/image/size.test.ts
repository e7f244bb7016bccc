import t from 'tap';
import { outputSize, SizeError } from '../../src/image/size.js';

const sizes = { native: 256, multiple: 32, min: 128, max: 512 };

t.test('the size of the answer', async (t) => {
  const cases: [starter: [number, number], asked: { width?: number; height?: number }, expected: [number, number]][] = [
    [[256, 256], {}, [256, 256]],
    [[4000, 3000], {}, [288, 224]],
    [[3000, 4000], {}, [224, 288]],
    [[10_000, 100], {}, [512, 128]], // as far as the range goes
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
