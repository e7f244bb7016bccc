// diffusers' numbers, case by case: timesteps, sigmas, noisy latents and the latents after each step. SCHEDULER_CASES names another
// file of the same form, whose readme key says how it is made.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { TorchGenerator } from '../../src/pipeline/numbers/noise.js';
import { createSchedule, type FlowRequest, schedulerForClass } from '../../src/pipeline/schedulers/index.js';
import type { SchedulerConfig } from '../../src/pipeline/schedulers/schedule.js';
import { reference } from './cases.js';
import { run, starter, worstError } from './scheduler-runs.js';

interface Case {
  cls: string;
  config: SchedulerConfig;
  steps: number;
  strength: number;
  /** Of flow matching classes: what a pipeline passes. */
  mu?: number;
  given_sigmas?: string;
  timesteps: number[];
  sigmas?: number[];
  noisy: number[];
  latents: number[][];
}

const files = process.env.SCHEDULER_CASES
  ? [process.env.SCHEDULER_CASES]
  : [reference('schedulers.json'), reference('schedulers-2.json')];

const flowOf = ({ mu, given_sigmas }: Case): FlowRequest => ({
  ...(mu !== undefined && { mu }),
  pipelineSigmas: given_sigmas !== undefined,
});

for (const file of files) {
  const { seed, base, noise, cases }: { seed: number; base: SchedulerConfig; noise: number[]; cases: Case[] } =
    JSON.parse(readFileSync(file, 'utf8'));

  t.test(`the noise of ${file} is the one that torch draws`, async (t) => {
    t.ok(worstError(new TorchGenerator(seed).randn(16), noise) <= 1e-6);
  });

  for (const one of cases) {
    const { cls, config, steps, strength, timesteps, sigmas, noisy, latents, mu } = one;
    const passed = mu === undefined ? '' : ` with mu ${mu}`;
    t.test(`${cls} ${JSON.stringify(config)}, ${steps} steps at ${strength}${passed}`, async (t) => {
      const full = { ...(cls.startsWith('FlowMatch') ? {} : base), ...config, _class_name: cls };
      const scheduler = schedulerForClass(cls, full);
      const schedule = createSchedule({ scheduler, steps, strength, flow: flowOf(one) }, full);
      const within = (what: string, actual: ArrayLike<number> | undefined, expected: number[]) => {
        t.equal(actual?.length, expected.length, `count of ${what}`);
        const error = worstError(actual ?? [], expected);
        t.ok(error <= 1e-5, `${what} (${error})`);
      };
      within('timesteps', schedule.scheduler.timesteps.slice(schedule.begin), timesteps);
      if (sigmas) within('sigmas', schedule.scheduler.sigmas, sigmas);
      const states = run(schedule, starter, new TorchGenerator(seed));
      t.equal(states.length, latents.length + 1, 'count of steps');
      [noisy, ...latents].forEach((expected, k) => {
        within(k === 0 ? 'noisy latents' : `latents after step ${k}`, states[k], expected);
      });
    });
  }
}
