// What requests of a model get that do not say: its settings', else its kind's.

import { type Kind, kindDefaults, type RequestDefaults } from '../../model-facts.js';
import type { Family } from '../families/family.js';
import { fittingSchedulers, type SchedulerName, schedulerForClass } from '../schedulers/index.js';
import { type SchedulerConfig, UnsupportedSchedulerError } from '../schedulers/schedule.js';
import { ModelFolderError } from './model-folder-error.js';
import { checkDefaults } from './scheduler-config.js';
import type { Settings } from './schemas.js';

/** @throws ModelFolderError where they make no schedule, or say what the family's requests have no use for */
export function requestDefaults(
  settings: Settings,
  family: Family,
  kind: Kind,
  config: SchedulerConfig,
): RequestDefaults & { readonly scheduler: SchedulerName } {
  checkGuidance(settings, family, kind);
  const { imageGuidance, ...usual }: RequestDefaults = kindDefaults[kind];
  const asked = settings.defaults ?? {};
  const defaults = {
    ...usual,
    steps: asked.steps ?? usual.steps,
    guidance: asked.guidance ?? usual.guidance,
    ...(imageGuidance !== undefined && { imageGuidance: asked.image_guidance ?? imageGuidance }),
    scheduler: asked.scheduler ?? defaultScheduler(config),
  };
  checkDefaults(defaults, config, family.rules.schedule);
  return defaults;
}

function checkGuidance({ defaults, guidance_rescale: rescale = 0 }: Settings, { rules }: Family, kind: Kind): void {
  const comparesStarter = rules.guidance === 'prompts_and_starter';
  if (!comparesStarter && (defaults?.image_guidance ?? null) !== null) {
    throw new ModelFolderError(`img2img.json has defaults.image_guidance, and ${kind} models take no image guidance`);
  }
  if (comparesStarter && rescale > 0) {
    throw new ModelFolderError(`img2img.json has guidance_rescale, which ${kind} models do not have`);
  }
}

function defaultScheduler(config: SchedulerConfig): SchedulerName {
  try {
    return schedulerForClass(String(config._class_name), config);
  } catch (error) {
    if (!(error instanceof UnsupportedSchedulerError)) throw error;
    throw new ModelFolderError(
      `${error.message}; name another one in img2img.json: {"defaults": {"scheduler": "${fittingSchedulers(config)[0]}"}}`,
    );
  }
}
