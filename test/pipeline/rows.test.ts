import t from 'tap';
import { runInRows } from '../../src/pipeline/onnx/rows.js';
import type { Session } from '../../src/pipeline/onnx/sessions.js';

/** Gives back what it gets, and writes down how many rows each run has. */
function echo({ oneByOne = false, rows = 'batch' as string | number }) {
  const runs: number[] = [];
  const session = {
    oneByOne,
    shapeOf: () => [rows, 2],
    run: async ({ sample }: { sample: { data: Float32Array; dims: number[] } }) => {
      runs.push(sample.dims[0]!);
      return [sample];
    },
  };
  return { runs, session: session as unknown as Session };
}

t.test('rows share a run where their number is free and costs nothing, and take one each elsewhere', async (t) => {
  const rows = [1, 2, 3].map((value) => ({ sample: { data: new Float32Array([value, -value]), dims: [2] } }));
  for (const [of, expected] of [
    [{}, [3]],
    [{ oneByOne: true }, [1, 1, 1]],
    [{ rows: 1 }, [1, 1, 1]],
  ] as const) {
    const { runs, session } = echo(of);
    const outputs = await runInRows(session, rows);
    t.strictSame(runs, expected);
    t.strictSame(
      outputs.map(([output]) => [...output!]),
      [
        [1, -1],
        [2, -2],
        [3, -3],
      ],
    );
  }
});
