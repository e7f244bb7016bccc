// scheduler/scheduler_config.json, so that no schedule can be made of it that is absurd or costs without bound.

import type { ScheduleKind } from '../../model-facts.js';
import type { ModelSource } from '../checkpoint/model-source.js';
import { defaultShift } from '../schedulers/flow-sigmas.js';
import { createSchedule, type SchedulerName } from '../schedulers/index.js';
import { type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from '../schedulers/schedule.js';
import { ModelFolderError } from './model-folder-error.js';
import { SchedulerFile } from './schemas.js';

const file = 'scheduler/scheduler_config.json';
type Bound = 'beta_start' | 'beta_end' | 'sigma_min' | 'sigma_max';

/**
 * @returns diffusers' class and the keys that are read or may be: what is nested is none of them
 * @throws ModelFolderError
 */
export function readSchedulerConfig(source: ModelSource): SchedulerConfig {
  const json = source.json(file, SchedulerFile);
  const known = Object.keys(SchedulerFile.properties);
  const config: SchedulerConfig = Object.fromEntries(
    Object.entries(json).filter(([key, value]) => known.includes(key) || Object(value) !== value),
  );
  inOrder(config, 'beta_start', 'beta_end');
  inOrder(config, 'sigma_min', 'sigma_max');
  const { base_image_seq_len: base = defaultShift.baseTokens, max_image_seq_len: most = defaultShift.mostTokens } =
    config;
  if (base >= most) {
    throw new ModelFolderError(
      `${file}: base_image_seq_len is ${base}; it must be below max_image_seq_len, which is ${most}`,
    );
  }
  const train = trainTimesteps(config);
  if ((config.steps_offset ?? 0) >= train) {
    throw new ModelFolderError(`${file}: steps_offset is ${config.steps_offset}; the model has ${train} timesteps`);
  }
  return config;
}

function inOrder(config: SchedulerConfig, lower: Bound, upper: Bound): void {
  const [low, high] = [config[lower], config[upper]];
  if (typeof low !== 'number' || typeof high !== 'number' || low <= high) return;
  throw new ModelFolderError(`${file}: ${lower} is ${low}; it must be at most ${upper}, which is ${high}`);
}

/**
 * @param defaults of the model
 * @throws ModelFolderError when they make no schedule, whatever a request's strength
 */
export function checkDefaults(
  defaults: { readonly steps: number; readonly scheduler: SchedulerName },
  config: SchedulerConfig,
  kind: ScheduleKind,
): void {
  const failures = [1, 0.5].map((strength) => {
    try {
      createSchedule({ ...defaults, strength }, config, kind);
      return undefined;
    } catch (error) {
      if (error instanceof UnsupportedSchedulerError) return error.message;
      throw error;
    }
  });
  const [first] = failures;
  if (first !== undefined && failures.every((failure) => failure !== undefined)) {
    throw new ModelFolderError(`its defaults make no schedule: ${first}`);
  }
}
