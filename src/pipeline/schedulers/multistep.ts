// What the solvers of the DPM family share (DPM++, UniPC, DEIS, SA): their grid, and where its points stand. Letters are the papers':
// lambda is half the log signal-to-noise ratio. Source: Lu et al. 2022, "DPM-Solver", section 2; diffusers' set_timesteps.

import { dpmFlowSigmas } from './flow-sigmas.js';
import { interpolate, timestepsOfSigmas, trainingSigmas } from './noise-schedule.js';
import { type Point, type PredictionType, predictionType } from './prediction.js';
import { finalSigma, type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from './schedule.js';
import { spreadOf, spreadSigmas } from './sigma-spread.js';
import { multistepTimesteps, roundHalfEven } from './timesteps.js';

const { fround } = Math;

/** Infinite lambda where the schedule ends without noise. */
export interface LambdaPoint extends Point {
  readonly lambda: number;
}

interface Schedule {
  /** Whole. */
  readonly timesteps: Float64Array;
  /** Noise over signal, or the share of noise on a flow; one more than timesteps, the last being where the schedule ends. */
  readonly sigmas: Float64Array;
  readonly points: readonly LambdaPoint[];
}

/** How the classes differ. */
interface Ways {
  /** The last sigma that "sigma_min" means: the least of the training, or of the schedule where it does not follow the training. */
  readonly least: 'training' | 'schedule';
  /** How Karras sigmas' timesteps become whole. */
  readonly whole?: (timestep: number) => number;
  readonly flowSigmas?: (config: SchedulerConfig, steps: number) => Float64Array;
  /** Karras sigmas, which are noise over signal, as shares of noise. */
  readonly karrasFlow?: true;
}

export function multistepSchedule(config: SchedulerConfig, steps: number, ways: Ways): Schedule {
  const { whole = roundHalfEven, flowSigmas = dpmFlowSigmas } = ways;
  const training = trainingSigmas(config);
  const spread = spreadOf(config);
  const flow = config.use_flow_sigmas ?? false;
  const onFlow = (sigmas: Float64Array) => ({
    timesteps: sigmas.map((sigma) => Math.trunc(sigma * trainTimesteps(config))),
    sigmas,
  });
  const grid = () => {
    if (spread === 'plain') return flow ? onFlow(flowSigmas(config, steps)) : plainGrid(config, steps, training);
    const sigmas = spreadSigmas(spread, config.sigma_max ?? training.at(-1)!, config.sigma_min ?? training[0]!, steps);
    if (!flow) {
      const timesteps = timestepsOfSigmas(sigmas, training);
      return { timesteps: timesteps.map(spread === 'karras' ? whole : Math.trunc), sigmas };
    }
    if (spread === 'karras' && ways.karrasFlow) return onFlow(sigmas.map((sigma) => sigma / (sigma + 1)));
    throw new UnsupportedSchedulerError(`use_flow_sigmas and use_${spread}_sigmas do not go together`);
  };
  const { timesteps, sigmas } = grid();
  const followsTraining = spread === 'plain' && !flow;
  const least = ways.least === 'training' || followsTraining ? training[0]! : sigmas.at(-1)!;
  const all = Float64Array.of(...sigmas, finalSigma(config, least)).map(fround);
  return { timesteps, sigmas: all, points: Array.from(all, flow ? flowPoint : lambdaPoint) };
}

function plainGrid(config: SchedulerConfig, steps: number, training: Float64Array) {
  // Timesteps noisier than the config's least lambda are left out; lambda is -log of noise over signal.
  const least = config.lambda_min_clipped ?? Number.NEGATIVE_INFINITY;
  const train = training.filter((sigma) => -Math.log(sigma) >= least).length;
  const timesteps = multistepTimesteps(config, steps, train);
  return { timesteps, sigmas: timesteps.map((t) => interpolate(training, t)) };
}

function lambdaPoint(sigma: number): LambdaPoint {
  const alpha = fround(1 / fround(Math.sqrt(fround(fround(sigma ** 2) + 1))));
  return pointOf(alpha, fround(sigma * alpha));
}

const flowPoint = (sigma: number): LambdaPoint => pointOf(fround(1 - sigma), sigma);

const pointOf = (alpha: number, sigma: number) => ({
  alpha,
  sigma,
  lambda: fround(fround(Math.log(alpha)) - fround(Math.log(sigma))),
});

/** @throws UnsupportedSchedulerError for a flow's prediction off a flow, which no model is trained for */
export function multistepPrediction(config: SchedulerConfig): PredictionType {
  const type = predictionType(config, ['epsilon', 'v_prediction', 'sample', 'flow_prediction']);
  if (type !== 'flow_prediction' || config.use_flow_sigmas) return type;
  throw new UnsupportedSchedulerError('prediction_type "flow_prediction" wants use_flow_sigmas');
}

export function refuseLearnedVariance({ variance_type }: SchedulerConfig): void {
  if (variance_type?.startsWith('learned')) {
    throw new UnsupportedSchedulerError(`variance_type "${variance_type}" is not supported`);
  }
}

/** @returns `order`, if it is a whole number from 1 to `most` */
export function solverOrder(key: 'solver_order' | 'predictor_order' | 'corrector_order', order = 2, most = 3): number {
  if (Number.isInteger(order) && order >= 1 && order <= most) return order;
  const supported = Array.from({ length: most }, (_, i) => i + 1).join(', ');
  throw new UnsupportedSchedulerError(`${key} ${order} is not supported (supported: ${supported})`);
}
