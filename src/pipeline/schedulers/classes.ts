// diffusers' scheduler classes: which of our names they are, which are refused, and what fits a model that was made for one.

import { type SchedulerConfig, UnsupportedSchedulerError } from './schedule.js';
import { spreadSettings } from './sigma-spread.js';
import { entryOf, type Kind, type SchedulerName, schedulerNames } from './table.js';

/** What the classes take where a config says nothing. */
const absent: SchedulerConfig = {
  ...spreadSettings('plain'),
  algorithm_type: 'dpmsolver++',
  skip_prk_steps: false,
};

/** Classes that are known and not made, each with the reason, and the kind of their models. */
const refused: Readonly<Record<string, { readonly because: string; readonly kind: Kind }>> = {
  IPNDMScheduler: {
    because: 'it has no way to add noise to a picture, so that nothing begins in its midst',
    kind: 'noise',
  },
  DPMSolverSDEScheduler: {
    because: 'its noise comes from a Brownian tree, which cannot be drawn as torch draws it here',
    kind: 'noise',
  },
  EDMDPMSolverMultistepScheduler: { because: 'its models run with edm_euler', kind: 'edm' },
  SCMScheduler: { because: 'its models (Sana Sprint) predict a TrigFlow, which no pipeline here knows', kind: 'flow' },
  FlowMatchLCMScheduler: {
    because:
      'its models are distilled to few steps that may enlarge the latents; flow_euler runs the models that they come from',
    kind: 'flow',
  },
  CosineDPMSolverMultistepScheduler: { because: 'its models (Stable Audio) make sound and no pictures', kind: 'edm' },
};

/**
 * Which of our names is meant by the class that a scheduler_config.json names.
 * @throws UnsupportedSchedulerError for a class, or settings of one, that are not made
 */
export function schedulerForClass(className: string, config: SchedulerConfig): SchedulerName {
  const ofClass = schedulerNames.filter((name) => entryOf(name).class === className);
  if (ofClass.length === 0) {
    const reason = refused[className]?.because;
    if (reason) throw new UnsupportedSchedulerError(`the scheduler class ${className} is not supported: ${reason}`);
    const known = [...new Set(schedulerNames.map((name) => entryOf(name).class))].join(', ');
    throw new UnsupportedSchedulerError(`the scheduler class ${className} is not supported (supported: ${known})`);
  }
  const value = (key: keyof SchedulerConfig) => config[key] ?? absent[key];
  const settingsOf = (name: SchedulerName) => entryOf(name).settings ?? {};
  const keysOf = (settings: SchedulerConfig) => Object.keys(settings) as (keyof SchedulerConfig)[];
  const found = ofClass.find((name) => {
    const settings = settingsOf(name);
    return keysOf(settings).every((key) => settings[key] === value(key));
  });
  if (found) return found;
  const first = settingsOf(ofClass[0]!);
  const told = keysOf(first)
    .filter((key) => value(key) !== first[key])
    .map((key) => `${key} ${JSON.stringify(value(key))}`);
  throw new UnsupportedSchedulerError(`${className} with ${told.join(' and ')} is not supported`);
}

/** What a model is, by the config that comes with it. */
function kindOf({ _class_name = '', prediction_type, use_flow_sigmas }: SchedulerConfig): Kind {
  const known =
    refused[_class_name]?.kind ?? schedulerNames.map(entryOf).find((one) => one.class === _class_name)?.kind;
  return known ?? (use_flow_sigmas || prediction_type === 'flow_prediction' ? 'flow' : 'noise');
}

/** The schedulers that a model can run with; those of other kinds take its output for something else. */
export function fittingSchedulers(config: SchedulerConfig): SchedulerName[] {
  const kind = kindOf(config);
  // A flow whose config is written for a class that was made for noise.
  const shared = kind === 'flow' && (config.use_flow_sigmas || config.prediction_type === 'flow_prediction');
  return schedulerNames
    .map((name) => ({ name, entry: entryOf(name) }))
    .filter(({ entry }) => (shared ? entry.flows : (entry.kind ?? 'noise') === kind))
    .map(({ name }) => name);
}

const described: Readonly<Record<Kind, string>> = {
  noise: 'a noise prediction model',
  flow: 'a flow matching model',
  edm: 'an EDM model',
};

/** @throws UnsupportedSchedulerError that lists what fits */
export function requireFit(name: SchedulerName, config: SchedulerConfig): void {
  const fitting = fittingSchedulers(config);
  if (fitting.includes(name)) return;
  throw new UnsupportedSchedulerError(
    `${described[kindOf(config)]} does not run with ${name} but with: ${fitting.join(', ')}`,
  );
}
