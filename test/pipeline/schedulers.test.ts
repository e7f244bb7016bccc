import { readFileSync } from 'node:fs';
import t from 'tap';
import { TorchGenerator } from '../../src/pipeline/numbers/noise.js';
import {
  createSchedule,
  createScheduler,
  fittingSchedulers,
  type SchedulerName,
  schedulerForClass,
  schedulerNames,
} from '../../src/pipeline/schedulers/index.js';
import { type SchedulerConfig, UnsupportedSchedulerError } from '../../src/pipeline/schedulers/schedule.js';
import { reference } from './cases.js';
import { run, starter, worstError } from './scheduler-runs.js';

interface DumpedCase {
  name: SchedulerName;
  cls: string;
  config: SchedulerConfig;
  steps: number;
  strength: number;
  latent_consistency?: boolean;
  /** What a flow's pipeline passes. */
  mu?: number;
  given_sigmas?: boolean;
  /** Float32, packed in base64. */
  timesteps: string;
  sigmas?: string;
  latents: string;
}
/** Written by test/reference/schedulers.py. */
const dump: { seed: number; base: SchedulerConfig; cases: DumpedCase[] } = JSON.parse(
  readFileSync(reference('schedulers-dump.json'), 'utf8'),
);
const { base } = dump;
const unpacked = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
/** As the folder of a model that the scheduler fits has it. */
const configFor = (name: SchedulerName, config: SchedulerConfig = base) => ({
  ...config,
  _class_name: dump.cases.find((dumped) => dumped.name === name)!.cls,
});

t.test('many configs, steps and strengths run as in diffusers', async (t) => {
  t.ok(dump.cases.length >= 1000, `${dump.cases.length} cases`);
  t.same(new Set(dump.cases.map(({ name }) => name)), new Set(schedulerNames));
  for (const dumped of dump.cases) {
    const { name, cls, config, steps, strength, latent_consistency, mu, given_sigmas } = dumped;
    const full = Object.fromEntries(
      Object.entries({ ...(cls.startsWith('FlowMatch') ? {} : base), ...config, _class_name: cls }).filter(
        ([, value]) => value !== null,
      ),
    ) as SchedulerConfig;
    t.equal(schedulerForClass(cls, full), name, `${cls} ${JSON.stringify(config)} is ${name}`);
    const flow = { ...(mu !== undefined && { mu }), pipelineSigmas: given_sigmas ?? false };
    const schedule = createSchedule(
      { scheduler: name, steps, strength, flow },
      full,
      latent_consistency ? 'consistency' : 'part',
    );
    const { scheduler, begin } = schedule;
    const states = run(schedule, starter, new TorchGenerator(dump.seed));
    const label = `${name} ${JSON.stringify(config)}, ${steps} steps at ${strength}`;
    const near = (what: string, actual: ArrayLike<number>, packed: string, limit: number) => {
      const expected = unpacked(packed);
      t.equal(actual.length, expected.length, `${label}: count of ${what}`);
      const error = worstError(actual, expected);
      t.ok(error <= limit, `${label}: ${what} (${error})`);
    };
    near('timesteps', scheduler.timesteps.subarray(begin), dumped.timesteps, 1e-6);
    if (dumped.sigmas) near('sigmas', scheduler.sigmas!, dumped.sigmas, 1e-6);
    // Most are within 1e-6; float32 tells more where orders are high, steps many or sigmas in the thousands.
    const latents = states.flatMap((state) => [...state]);
    near('latents', latents, dumped.latents, 1e-4);
  }
});

t.test('a latent consistency model runs all steps, over the training grid up to its strength', async (t) => {
  const timesteps = (strength: number) =>
    Array.from(createSchedule({ scheduler: 'lcm', steps: 4, strength }, base, 'consistency').scheduler.timesteps);
  t.same(timesteps(0.8), [799, 599, 399, 199]);
  t.same(timesteps(0.5), [499, 379, 259, 139]);
  t.same(timesteps(1), [999, 759, 499, 259]);
  const none = createSchedule({ scheduler: 'lcm', steps: 4, strength: 0.019 }, base, 'consistency');
  t.match(none, { stepsRun: 0, unetCalls: 0 });
  const plan = (steps: number) => createSchedule({ scheduler: 'lcm', steps, strength: 0.3 }, base, 'consistency');
  t.match(plan(15), { stepsRun: 15, unetCalls: 15 });
  t.throws(() => plan(16), { message: /^steps is 16; .* at most 15 .*trunc\(50 \* 0.3\)/, field: 'steps' });
  t.throws(
    () => createSchedule({ scheduler: 'euler', steps: 4, strength: 1 }, base, 'consistency'),
    /with the scheduler lcm only, not with euler/,
  );
});

t.test('a scheduler gives finite latents over its whole range of steps', async (t) => {
  for (const name of schedulerNames) {
    for (const steps of ['lcm', 'tcd'].includes(name) ? [1, 2, 50] : [1, 2, 61, 150, 999]) {
      const config = configFor(name, { ...base, clip_sample: false });
      const schedule = createSchedule({ scheduler: name, steps, strength: 1 }, config);
      const end = run(schedule, starter, new TorchGenerator(0)).at(-1)!;
      t.ok(end.every(Number.isFinite), `${name}, ${steps} steps`);
    }
  }
});

t.test('what is not supported is refused by name', async (t) => {
  const forClass = (cls: string, config: object) => () => schedulerForClass(`${cls}Scheduler`, config);
  const making = (name: SchedulerName, config: object) => () => createScheduler(name, config as SchedulerConfig, 10);
  const refusals: [() => unknown, RegExp][] = [
    [forClass('KarrasVe', {}), /class KarrasVeScheduler is not supported \(supported: DDIMScheduler, .*FlowMatchHeun/],
    [forClass('IPNDM', {}), /IPNDMScheduler is not supported: it has no way to add noise/],
    [forClass('DPMSolverSDE', {}), /DPMSolverSDEScheduler is not supported: its noise comes from a Brownian tree/],
    [forClass('EDMDPMSolverMultistep', {}), /EDMDPMSolverMultistepScheduler is not supported: .* edm_euler/],
    [forClass('SCM', {}), /SCMScheduler is not supported: .*TrigFlow/],
    [forClass('FlowMatchLCM', {}), /FlowMatchLCMScheduler is not supported: .*flow_euler/],
    [forClass('CosineDPMSolverMultistep', {}), /CosineDPMSolverMultistepScheduler is not supported: .*sound/],
    [forClass('DPMSolverMultistep', { algorithm_type: 'sde-dpmsolver' }), /with algorithm_type "sde-dpmsolver" is/],
    [
      forClass('EulerDiscrete', { use_karras_sigmas: true, use_beta_sigmas: true }),
      /with use_karras_sigmas true and use_beta_sigmas true is not supported/,
    ],
    [forClass('PNDM', {}), /PNDMScheduler with skip_prk_steps false is not supported/],
    [forClass('DPMSolverMultistep', { algorithm_type: 'dpmsolver' }), /with algorithm_type "dpmsolver"/],
    [making('dpmpp_2m', { solver_order: 4 }), /solver_order 4/],
    [making('dpmpp_2m', { use_lu_lambdas: true }), /use_lu_lambdas/],
    [making('unipc', { num_train_timesteps: 10 }), /steps is 10; this scheduler takes at most 9, one less than its 10/],
    [making('dpmpp_2m_karras', { use_flow_sigmas: true }), /use_flow_sigmas and use_karras_sigmas do not go together/],
    [making('unipc_beta', { use_flow_sigmas: true }), /use_flow_sigmas and use_beta_sigmas do not go together/],
    [making('deis', { prediction_type: 'flow_prediction' }), /"flow_prediction" wants use_flow_sigmas/],
    [making('deis', { algorithm_type: 'sde-dpmsolver++' }), /algorithm_type "sde-dpmsolver\+\+"/],
    [making('dpmpp_singlestep', { algorithm_type: 'dpmsolver' }), /algorithm_type "dpmsolver"/],
    [making('dpmpp_singlestep', { thresholding: true }), /thresholding/],
    [making('dpm2', { prediction_type: 'sample' }), /prediction_type "sample"/],
    [making('sa_solver', { predictor_order: 5 }), /predictor_order 5 is not supported \(supported: 1, 2, 3, 4\)/],
    [making('sa_solver', { corrector_order: 0 }), /corrector_order 0/],
    [making('sa_solver', { variance_type: 'learned' }), /variance_type "learned"/],
    [making('tcd', { original_inference_steps: 5 }), /steps is 10; the scheduler tcd makes at most 5/],
    [making('tcd', { eta: 1.5 }), /eta is 1.5/],
    [making('edm_euler', { sigma_schedule: 'beta' }), /sigma_schedule "beta"/],
    [making('flow_euler', { use_dynamic_shifting: true }), /use_dynamic_shifting wants a mu/],
    [making('unipc', { time_shift_type: 'cubic' }), /time_shift_type "cubic"/],
    [making('flow_heun', { use_dynamic_shifting: true }), /flow_heun lays its own sigmas/],
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
    [making('euler', { interpolation_type: 'log_linear' }), /interpolation_type "log_linear"/],
    [making('euler', { timestep_type: 'continuous' }), /timestep_type "continuous"/],
    [making('euler', { final_sigmas_type: 'one' }), /final_sigmas_type "one"/],
    [making('unipc', { predict_x0: false }), /predict_x0 false/],
    [making('unipc', { solver_p: {} }), /solver_p/],
    [making('unipc', { lower_order_final: false }), /lower_order_final false with final_sigmas_type "zero"/],
    [making('lcm', { original_inference_steps: 2000 }), /original_inference_steps 2000 is more than/],
  ];
  for (const [refused, message] of refusals) t.throws(refused, { constructor: UnsupportedSchedulerError, message });
  const zeroSnr = { ...base, rescale_betas_zero_snr: true, timestep_spacing: 'trailing' };
  const plan = (strength: number) => createSchedule({ scheduler: 'ddim', steps: 10, strength }, zeroSnr);
  t.throws(() => plan(1), /rescale_betas_zero_snr and prediction_type "epsilon" do not go together at timestep 999/);
  t.equal(plan(0.9).stepsRun, 9, 'where the last timestep is left out, they do');
});

t.test('what another class has is ignored, as diffusers does', async (t) => {
  const foreign = { thresholding: true, use_beta_sigmas: true, rescale_betas_zero_snr: true, skip_prk_steps: false };
  const timesteps = (config: object) => createScheduler('pndm', { ...base, ...config }, 10).timesteps;
  t.same(timesteps(foreign), timesteps({}));
});

t.test('what a request comes to is known before it runs', async (t) => {
  const plan = (scheduler: SchedulerName, steps: number, strength: number) => {
    const { stepsRun, unetCalls } = createSchedule({ scheduler, steps, strength }, configFor(scheduler));
    return [stepsRun, unetCalls];
  };
  t.same(plan('ddim', 50, 0.58), [28, 28], 'the product of the doubles is cut');
  t.same(plan('pndm', 50, 0.8), [40, 41], 'PNDM makes one step twice');
  t.same(plan('pndm', 1, 1), [1, 1], 'of one step there is nothing to make twice');
  t.same(plan('heun', 20, 0.6), [12, 23], 'Heun makes two calls for each step but the last');
  t.same(plan('lcm', 4, 0.5), [2, 2], "under Stable Diffusion's pipeline LCM runs its schedule's tail");
  t.same(plan('dpm2', 20, 0.6), [12, 23], 'and so does DPM2');
  t.same(plan('flow_euler', 10, 0.58), [6, 6], 'of a flow, what is left out is cut');
  t.same(plan('flow_heun', 10, 0.58), [6, 11]);
  t.same(plan('flow_euler', 4, 0.2), [1, 1]);
  for (const name of schedulerNames) {
    if (!name.startsWith('flow_')) {
      t.same(plan(name, 4, 0.2), [0, 0], `${name}: a strength that comes to no step`);
    }
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

t.test('a model runs with the schedulers of its kind only, and a refusal lists them', async (t) => {
  const flowing = ['dpmpp_2m', 'dpmpp_2m_sde', 'dpmpp_singlestep', 'unipc', 'unipc_karras', 'deis', 'sa_solver'];
  const flows = schedulerNames.filter((name) => name.startsWith('flow_'));
  const noises = schedulerNames.filter((name) => !flows.includes(name) && name !== 'edm_euler');
  const kinds: [label: string, config: SchedulerConfig, fitting: string[]][] = [
    ['a noise prediction model', { _class_name: 'EulerDiscreteScheduler' }, noises],
    ['a noise prediction model', {}, noises],
    ['a flow matching model', { _class_name: 'FlowMatchEulerDiscreteScheduler' }, flows],
    ['a flow matching model', { _class_name: 'FlowMatchLCMScheduler' }, flows],
    [
      'a flow matching model',
      { _class_name: 'UniPCMultistepScheduler', use_flow_sigmas: true, prediction_type: 'flow_prediction' },
      flowing,
    ],
    ['an EDM model', { _class_name: 'EDMEulerScheduler' }, ['edm_euler']],
    ['an EDM model', { _class_name: 'EDMDPMSolverMultistepScheduler' }, ['edm_euler']],
  ];
  for (const [label, config, fitting] of kinds) {
    t.same(fittingSchedulers(config), fitting);
    for (const name of schedulerNames) {
      const plan = () => createSchedule({ scheduler: name, steps: 4, strength: 1 }, config);
      if (fitting.includes(name)) t.doesNotThrow(plan, `${label}: ${name}`);
      else {
        const message = `${label} does not run with ${name} but with: ${fitting.join(', ')}`;
        t.throws(plan, { constructor: UnsupportedSchedulerError, message, field: 'scheduler' });
      }
    }
  }
});
