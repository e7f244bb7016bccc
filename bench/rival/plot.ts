// By offered load: what is completed, and the latencies' 99th percentile.

import { drawPanels } from '../autoscaler/panels.js';
import type { Costs } from './costs.js';
import { maxima, spreadOf } from './figures.js';
import { runOurs } from './ours.js';
import { runRival } from './rival.js';
import { type Arrival, atRate, plainCapacity } from './trace.js';

/** Shares of the plain capacity. */
const loads = Array.from({ length: 25 }, (_, i) => (i + 1) / 10);
/** Beyond, a queue only grows. */
const longestShownMs = 8000;

export async function plotLoads(costs: Costs, arrivals: readonly Arrival[]): Promise<string> {
  const plain = plainCapacity(costs, arrivals);
  const systems = [
    { name: 'one at a time', colour: '#9aa5b1', runs: [1], ours: false },
    { name: 'equal guidance only', colour: '#f59e0b', runs: maxima, ours: false },
    { name: 'img2img', colour: '#2563eb', runs: [], ours: true },
  ];
  const completed: number[][] = systems.map(() => []);
  const p99: number[][] = systems.map(() => []);
  for (const load of loads) {
    const coming = atRate(arrivals, load * plain);
    const end = coming.at(-1)!.at;
    for (const [k, { runs, ours }] of systems.entries()) {
      const all = ours ? [await runOurs(costs, coming)] : runs.map((most) => runRival(costs, coming, most));
      const perSecond = all.map((done) => (1000 * done.filter((time) => time <= end).length) / end);
      completed[k]!.push(Math.max(...perSecond));
      p99[k]!.push(Math.min(...all.map((done) => spreadOf(coming, done).p99), longestShownMs) / 1000);
    }
  }
  const lines = (values: readonly number[][]) =>
    systems.map(({ name, colour }, k) => ({ name, colour, values: values[k]! }));
  const ticks = [0.1, 0.5, 1, 1.5, 2, 2.5].map((load) => ({
    at: loads.indexOf(load) / loads.length,
    text: `${100 * load} %`,
  }));
  return drawPanels(
    `${costs.name}: by offered load, in shares of what one at a time can take`,
    [
      { title: 'Requests completed per second', lines: lines(completed) },
      { title: `p99 of latencies, seconds, cut off at ${longestShownMs / 1000}`, lines: lines(p99) },
    ],
    ticks,
  );
}
