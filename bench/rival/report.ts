// The figures as tables: the median of the seeds, the least and the largest, and how many of them reach an aim.

import { quantile } from '../engine.js';
import { curves } from './costs.js';
import { type Figures, lightLoads, rivalLoads } from './figures.js';

export type CurveName = keyof typeof curves;
export type Results = Partial<Record<CurveName, CurveResults>>;

interface CurveResults {
  /** One per seed. */
  readonly seeds: readonly Figures[];
  /** One request on an idle device over that without batching: unguided, guided. */
  readonly alone: readonly number[];
}

/** Where a ratio has to lie: above its limit where more is better. */
interface Aim {
  readonly limit: number;
  readonly more: boolean;
}
const atLeast = (limit: number): Aim => ({ limit, more: true });
const atMost = (limit: number): Aim => ({ limit, more: false });

interface Row {
  readonly title: string;
  values(results: CurveResults): readonly number[];
  aim?(name: CurveName): Aim | undefined;
}

const seeds = (pick: (figures: Figures) => number) => ({
  values: (results: CurveResults) => results.seeds.map(pick),
});

const rows: readonly Row[] = [
  {
    title: 'completed at 2.5 times plain capacity, over the rival',
    ...seeds(({ completed }) => completed.ours / completed.rival),
    aim: (name) => atLeast(name === 'flat' ? 0.98 : 1.5),
  },
  { title: 'the same, over one at a time', ...seeds(({ completed }) => completed.ours / completed.fifo) },
  ...rivalLoads.flatMap((load) =>
    (['mean', 'p50', 'p95', 'p99'] as const).map(
      (spread): Row => ({
        title: `${spread} at ${100 * load} % of the rival's capacity, over the rival`,
        ...seeds(({ loaded }) => loaded[load]![spread]),
        // On the flat curve no figure may be below 0.98 of the rival's.
        aim: (name) => (name === 'flat' ? atMost(1 / 0.98) : spread === 'p99' ? atMost(0.5) : undefined),
      }),
    ),
  ),
  ...lightLoads.flatMap((load) =>
    (['mean', 'p50', 'p95'] as const).map(
      (spread): Row => ({
        title: `${spread} at ${100 * load} % of plain capacity, over one at a time`,
        ...seeds(({ light }) => light[load]![spread]),
        aim: () => atMost(1.02),
      }),
    ),
  ),
  {
    title: 'one request alone, over batching switched off',
    values: ({ alone }) => alone,
    aim: () => atMost(1.02),
  },
];

function cellOf(values: readonly number[], aim: Aim | undefined): string {
  const [least, largest] = [Math.min(...values), Math.max(...values)];
  const text = `${quantile(values, 0.5).toFixed(2)} (${least.toFixed(2)} to ${largest.toFixed(2)})`;
  if (!aim) return text;
  const reached = values.filter((value) => (aim.more ? value >= aim.limit - 1e-9 : value <= aim.limit + 1e-9));
  const count = `${reached.length} of ${values.length}`;
  const wanted = `${aim.more ? '≥' : '≤'} ${Number(aim.limit.toFixed(2))}`;
  return `${text}; ${wanted}: ${reached.length < values.length ? `**${count}**` : count}`;
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

export function reportOf(results: Results, requests: number): string {
  const order = (Object.keys(curves) as CurveName[]).filter((name) => results[name]);
  const ratios = rows.map(({ title, values, aim }) =>
    line([title, ...order.map((name) => cellOf(values(results[name]!), aim?.(name)))]),
  );
  const capacities = order.map((name) => {
    const middle = (kind: keyof Figures['capacity']) =>
      quantile(
        results[name]!.seeds.map(({ capacity }) => capacity[kind]),
        0.5,
      ).toFixed(2);
    return line([curves[name].name, middle('plain'), middle('rival'), middle('ours'), middle('bound')]);
  });
  return `# Scheduling against a rival, in virtual time

\`npm run bench:rival\`: a simulation. No device was measured; it gives the same figures on every machine.

${requests} requests of 20 steps, strengths uniform in 0.3 to 0.9, half of them unguided, Poisson arrivals; ${results[order[0]!]!.seeds.length} seeds. A cell is the
median of the seeds, with the least and the largest of them, and how many of them reach the aim.

- Ours: the engine's own queue, pool, forecasts, batch and measure of its row budget, on a clock that the simulation turns.
- The rival: first in, first out, steps shared by requests of equal guidance; a request at the head that does not fit holds up those behind it. Its
  fixed maximum is the best of 1, 2, 4, 8 and 16 for each trace and figure. So [vLLM-Omni's step execution](https://docs.vllm.ai/projects/vllm-omni/en/latest/design/feature/diffusion_continuous_batching/) works.
- Modelled: the device's times, by \`bench/rival/costs.ts\`, which names its sources; messages between processes take none.

| ratio | ${order.map((name) => curves[name].name).join(' | ')} |
|${' --- |'.repeat(order.length + 1)}
${ratios.join('\n')}

| requests per second, all at once | one at a time | the rival | ours | what no rule can pass |
| --- | --- | --- | --- | --- |
${capacities.join('\n')}

![By offered load](results-rival.svg)
`;
}
