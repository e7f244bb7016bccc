import { readFileSync } from 'node:fs';
import t from 'tap';
import { TorchGenerator } from '../../src/pipeline/noise.js';
import {
  createSchedule,
  createScheduler,
  schedulerForClass,
  schedulerNames,
} from '../../src/pipeline/schedulers/index.js';
import type { SchedulerConfig } from '../../src/pipeline/schedulers/schedule.js';

interface Case {
  cls: string;
  config: SchedulerConfig;
  steps: number;
  strength: number;
  timesteps: number[];
  noisy: number[];
  latents: number[][];
}
interface Reference {
  diffusers: string;
  seed: number;
  base: SchedulerConfig;
  noise: number[];
  cases: Case[];
}

// Numbers dumped from diffusers; the file's readme key says how.
const reference: Reference = JSON.parse(readFileSync(new URL('../reference/schedulers.json', import.meta.url), 'utf8'));
const init = Float32Array.from({ length: 16 }, (_, i) => 0.5 * Math.cos(i));
const standInModel = (input: Float32Array, timestep: number) =>
  input.map((x, i) => 0.6 * x + 0.3 * Math.sin(0.01 * timestep + 0.7 * i));

function worstError(actual: Float32Array, expected: number[]): number {
  return Math.max(...expected.map((x, i) => Math.abs(actual[i]! - x) / Math.max(1, Math.abs(x))));
}

t.test('the noise of a seed is the one that torch draws', async (t) => {
  t.ok(worstError(new TorchGenerator(reference.seed).randn(16), reference.noise) < 1e-6);
});

t.test('every case of diffusers is reproduced: timesteps, noisy latents, latents after each step', async (t) => {
  t.equal(reference.cases.length, 36);
  for (const { cls, config, steps, strength, timesteps, noisy, latents } of reference.cases) {
    const full = { ...reference.base, ...config };
    const { scheduler, begin } = createSchedule({ scheduler: schedulerForClass(cls, full), steps, strength }, full);
    const name = `${cls} ${JSON.stringify(config)} ${steps} steps at ${strength}`;

    const kept = scheduler.timesteps.slice(begin);
    t.equal(kept.length, timesteps.length, `${name}: count of timesteps`);
    t.ok(worstError(Float32Array.from(kept), timesteps) < 1e-5, `${name}: timesteps`);
    const generator = new TorchGenerator(reference.seed);
    let current = scheduler.addNoise(init, generator.randn(16), begin);
    t.ok(worstError(current, noisy) < 1e-5, `${name}: noisy latents`);
    latents.forEach((expected, k) => {
      const index = begin + k;
      const output = standInModel(scheduler.scaleModelInput(current, index), scheduler.timesteps[index]!);
      current = scheduler.step(output, index, current, generator);
      const error = worstError(current, expected);
      t.ok(error < 1e-5, `${name}: latents after step ${k + 1} (${error})`);
    });
  }
});

t.test('a latent consistency model runs all steps, over the training grid up to its strength', async (t) => {
  const timesteps = (strength: number) =>
    Array.from(createSchedule({ scheduler: 'lcm', steps: 4, strength }, reference.base, true).scheduler.timesteps);
  t.same(timesteps(0.8), [799, 599, 399, 199]);
  t.same(timesteps(0.5), [499, 379, 259, 139]);
  t.same(timesteps(1), [999, 759, 499, 259]);
  const none = createSchedule({ scheduler: 'lcm', steps: 4, strength: 0.019 }, reference.base, true);
  t.match(none, { stepsRun: 0, unetCalls: 0 });
  const plan = (steps: number) => createSchedule({ scheduler: 'lcm', steps, strength: 0.3 }, reference.base, true);
  t.match(plan(15), { stepsRun: 15, unetCalls: 15 });
  t.throws(() => plan(16), { message: /^steps is 16; .* at most 15 .*trunc\(50 \* 0.3\)/, field: 'steps' });
  t.throws(
    () => createSchedule({ scheduler: 'euler', steps: 4, strength: 1 }, reference.base, true),
    /with the scheduler lcm only, not with euler/,
  );
});

t.test('a scheduler gives finite latents over its whole range of steps', async (t) => {
  for (const name of schedulerNames) {
    for (const steps of name === 'lcm' ? [1, 2, 50] : [1, 2, 61, 150]) {
      const scheduler = createScheduler(name, { ...reference.base, clip_sample: false, steps_offset: 1 }, steps);
      let current = scheduler.addNoise(init, Float32Array.from(reference.noise), 0);
      for (let i = 0; i < scheduler.timesteps.length; i++) {
        current = scheduler.step(
          standInModel(scheduler.scaleModelInput(current, i), scheduler.timesteps[i]!),
          i,
          current,
          new TorchGenerator(0),
        );
      }
      t.ok(current.every(Number.isFinite), `${name}, ${steps} steps`);
    }
  }
});

t.test('what is not supported is refused by name', async (t) => {
  t.throws(() => schedulerForClass('PNDMScheduler', {}), /PNDMScheduler is not supported/);
  t.throws(() => createScheduler('dpmpp_2m', { solver_order: 3 }, 10), /solver_order 3/);
  t.throws(
    () => createScheduler('ddim', { prediction_type: 'flow_prediction' }, 10),
    /prediction_type "flow_prediction"/,
  );
});
