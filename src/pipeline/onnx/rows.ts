// One run of a graph for many rows.

import type { Input, Session } from './sessions.js';

/** One row of an input: flat, and its shape without the rows' dimension. */
export interface Row {
  readonly data: Float32Array | readonly number[];
  readonly dims: readonly number[];
}

/**
 * One run for all rows where the graph leaves their count free and its number costs nothing, else one run each.
 * @param rows one object for each row, with the same inputs in the same shapes
 * @param outputs names of those that are wanted; the graph's first if absent
 * @param beside inputs that are not joined of rows
 * @returns for each row its outputs, flat, in the order of `outputs`
 */
export async function runInRows(
  session: Session,
  rows: readonly Readonly<Record<string, Row>>[],
  outputs?: readonly string[],
  beside: Readonly<Record<string, Input>> = {},
): Promise<Float32Array[][]> {
  const inputs = Object.keys(rows[0]!);
  const isFixed = inputs.some((input) => typeof session.shapeOf(input)[0] === 'number');
  if (rows.length > 1 && (isFixed || session.oneByOne)) {
    const results: Float32Array[][] = [];
    for (const row of rows) results.push(...(await runInRows(session, [row], outputs, beside)));
    return results;
  }
  const joined = (input: string) => joinRows(rows.map((row) => row[input]!));
  const results = await session.run(
    { ...Object.fromEntries(inputs.map((input) => [input, joined(input)])), ...beside },
    outputs,
  );
  if (rows.length === 1) return [results.map(({ data }) => data)];
  return rows.map((_, i) =>
    results.map(({ data }) => {
      const length = data.length / rows.length;
      return data.slice(i * length, (i + 1) * length);
    }),
  );
}

/** [rows, ...dims] */
export function joinRows(rows: readonly Row[]): Input {
  const { data: first, dims } = rows[0]!;
  const size = first.length;
  if (rows.length === 1) return { data: first, dims: [1, ...dims] };
  const data = new Float32Array(rows.length * size);
  for (const [i, row] of rows.entries()) data.set(row.data, i * size);
  return { data, dims: [rows.length, ...dims] };
}
