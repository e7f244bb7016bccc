import { readFileSync } from 'node:fs';
import t from 'tap';
import { TorchGenerator } from '../../src/pipeline/numbers/noise.js';
import {
  createSchedule,
  createScheduler,
  type SchedulerName,
  schedulerForClass,
  schedulerNames,
} from '../../src/pipeline/schedulers/index.js';
import { type SchedulerConfig, UnsupportedSchedulerError } from '../../src/pipeline/schedulers/schedule.js';

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
interface DumpedCase extends Omit<Case, 'timesteps' | 'noisy' | 'latents'> {
  name: SchedulerName;
  latent_consistency?: boolean;
  timesteps: string;
  latents: string;
}
/** Written by test/reference/schedulers.py. */
const dump: { seed: number; base: SchedulerConfig; cases: DumpedCase[] } = JSON.parse(
  readFileSync(new URL('../reference/schedulers-dump.json', import.meta.url), 'utf8'),
);
const unpacked = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);

const init = Float32Array.from({ length: 16 }, (_, i) => 0.5 * Math.cos(i));
const standInModel = (input: Float32Array, timestep: number) =>
  input.map((x, i) => 0.6 * x + 0.3 * Math.sin(0.01 * timestep + 0.7 * i));

function worstError(actual: Float32Array, expected: ArrayLike<number>): number {
  return Math.max(...Array.from(expected, (x, i) => Math.abs(actual[i]! - x) / Math.max(1, Math.abs(x))));
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

t.test('so is a dump of many configs, steps and strengths', async (t) => {
  t.ok(dump.cases.length >= 200, `${dump.cases.length} cases`);
  t.same([...new Set(dump.cases.map(({ name }) => name))], schedulerNames);
  for (const { name, cls, config, steps, strength, latent_consistency, ...expected } of dump.cases) {
    const full = Object.fromEntries(
      Object.entries({ ...dump.base, ...config }).filter(([, value]) => value !== null),
    ) as SchedulerConfig;
    t.equal(schedulerForClass(cls, full), name, `${cls} ${JSON.stringify(config)} is ${name}`);
    const { scheduler, begin } = createSchedule({ scheduler: name, steps, strength }, full, latent_consistency);
    const generator = new TorchGenerator(dump.seed);
    const states = [scheduler.addNoise(init, generator.randn(16), begin)];
    for (let i = begin; i < scheduler.timesteps.length; i++) {
      const latents = states.at(-1)!;
      const output = standInModel(scheduler.scaleModelInput(latents, i), scheduler.timesteps[i]!);
      states.push(scheduler.step(output, i, latents, generator));
    }
    const run = `${name} ${JSON.stringify(config)}, ${steps} steps at ${strength}`;
    const timesteps = unpacked(expected.timesteps);
    t.equal(scheduler.timesteps.length - begin, timesteps.length, `${run}: count of timesteps`);
    const timestepError = worstError(Float32Array.from(scheduler.timesteps.subarray(begin)), timesteps);
    t.ok(timestepError < 1e-4, `${run}: timesteps (${timestepError})`);
    const latentsError = worstError(Float32Array.from(states.flatMap((x) => [...x])), unpacked(expected.latents));
    t.ok(latentsError < 1e-4, `${run}: latents (${latentsError})`);
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
  const forClass = (cls: string, config: object) => () => schedulerForClass(`${cls}Scheduler`, config);
  const making = (name: SchedulerName, config: object) => () => createScheduler(name, config as SchedulerConfig, 10);
  const refusals: [() => unknown, RegExp][] = [
    [forClass('LMSDiscrete', {}), /class LMSDiscreteScheduler is not supported \(supported: DDIMScheduler, .*LCM/],
    [forClass('PNDM', {}), /PNDMScheduler with skip_prk_steps false is not supported/],
    [forClass('DPMSolverMultistep', { algorithm_type: 'dpmsolver' }), /with algorithm_type "dpmsolver"/],
    [making('dpmpp_2m', { solver_order: 4 }), /solver_order 4/],
    [making('dpmpp_2m', { use_lu_lambdas: true }), /use_lu_lambdas/],
    [making('dpmpp_2m', { use_flow_sigmas: true }), /use_flow_sigmas/],
    [making('dpmpp_2m', { variance_type: 'learned_range' }), /variance_type "learned_range"/],
    [making('ddim', { prediction_type: 'flow_prediction' }), /prediction_type "flow_prediction"/],
    [making('ddim', { thresholding: true }), /thresholding/],
    [making('ddim', { beta_schedule: 'sigmoid' }), /beta_schedule "sigmoid".*linear, scaled_linear, squaredcos_cap_v2/],
    [making('ddim', { timestep_spacing: 'uniform' }), /timestep_spacing "uniform"/],
    [making('ddim', { trained_betas: [0.1, 0.2] }), /trained_betas has 2 entries, num_train_timesteps is 1000/],
    [making('ddim', { num_train_timesteps: 9 }), /steps is 10; the model has 9 timesteps/],
    [making('ddim', { num_train_timesteps: 10, steps_offset: 1 }), /steps_offset 1 that leads beyond the model's 10/],
    [making('ddpm', { variance_type: 'fixed_large_log' }), /variance_type "fixed_large_log"/],
    [making('pndm', { prediction_type: 'sample' }), /prediction_type "sample"/],
    [making('euler_a', { prediction_type: 'sample' }), /prediction_type "sample"/],
    [making('euler', { use_exponential_sigmas: true }), /use_exponential_sigmas/],
    [making('euler', { interpolation_type: 'log_linear' }), /interpolation_type "log_linear"/],
    [making('euler', { timestep_type: 'continuous' }), /timestep_type "continuous"/],
    [making('euler', { final_sigmas_type: 'one' }), /final_sigmas_type "one"/],
    [making('heun', { use_beta_sigmas: true }), /use_beta_sigmas/],
    [making('unipc', { predict_x0: false }), /predict_x0 false/],
    [making('unipc', { solver_p: {} }), /solver_p/],
    [making('unipc', { lower_order_final: false }), /lower_order_final false with final_sigmas_type "zero"/],
    [making('lcm', { original_inference_steps: 2000 }), /original_inference_steps 2000 is more than/],
  ];
  for (const [refused, message] of refusals) t.throws(refused, { constructor: UnsupportedSchedulerError, message });
  const zeroSnr = { ...reference.base, rescale_betas_zero_snr: true, timestep_spacing: 'trailing' };
  const plan = (strength: number) => createSchedule({ scheduler: 'ddim', steps: 10, strength }, zeroSnr);
  t.throws(() => plan(1), /rescale_betas_zero_snr and prediction_type "epsilon" do not go together at timestep 999/);
  t.equal(plan(0.9).stepsRun, 9, 'where the last timestep is left out, they do');
});

t.test('what another class has is ignored, as diffusers does', async (t) => {
  const foreign = { thresholding: true, use_beta_sigmas: true, rescale_betas_zero_snr: true, skip_prk_steps: false };
  const timesteps = (config: object) => createScheduler('pndm', { ...reference.base, ...config }, 10).timesteps;
  t.same(timesteps(foreign), timesteps({}));
});

t.test('what a request comes to is known before it runs', async (t) => {
  const plan = (scheduler: SchedulerName, steps: number, strength: number) => {
    const { stepsRun, unetCalls } = createSchedule({ scheduler, steps, strength }, reference.base);
    return [stepsRun, unetCalls];
  };
  t.same(plan('ddim', 50, 0.58), [28, 28], 'the product of the doubles is cut');
  t.same(plan('pndm', 50, 0.8), [40, 41], 'PNDM makes one step twice');
  t.same(plan('pndm', 1, 1), [1, 1], 'of one step there is nothing to make twice');
  t.same(plan('heun', 20, 0.6), [12, 23], 'Heun makes two calls for each step but the last');
  t.same(plan('lcm', 4, 0.5), [2, 2], "under Stable Diffusion's pipeline LCM runs its schedule's tail");
  for (const name of schedulerNames) {
    t.same(plan(name, 4, 0.2), [0, 0], `${name}: a strength that comes to no step`);
    t.same(plan(name, 4, 0), [0, 0], `${name}: no strength`);
  }
});

t.test("diffusers' classes and their configs are recognised", async (t) => {
  for (const name of schedulerNames) {
    const { cls, config } = dump.cases.find((dumped) => dumped.name === name)!;
    t.equal(schedulerForClass(cls, config), name);
  }
  t.equal(schedulerForClass('EulerDiscreteScheduler', { use_karras_sigmas: null }), 'euler');
});
