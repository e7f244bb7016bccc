// What was worked out of a folder without configs, and from what.

import type { Json } from '../folder/configs.js';
import { isThere } from '../folder/files.js';
import { templateFile } from './amuse-template.js';
import type { FileFacts } from './family-defaults.js';
import type { Decision } from './model-source.js';

export const schedulerFile = 'scheduler/scheduler_config.json';
export const settingsFile = 'img2img.json';

export interface Told {
  /** img2img.json */
  readonly own: Json;
  /** The template, in the keys of img2img.json. */
  readonly template: Json;
  /** What was made of both. */
  readonly configs: Readonly<Record<string, Json>>;
}

/** @param path of the folder */
export function readyDecisions(path: string, facts: FileFacts, { own, template, configs }: Told): Decision[] {
  const saying = (...keys: string[]) => {
    const says = (json: Json) => keys.reduce((at, key) => at?.[key], json) !== undefined;
    return says(own) ? settingsFile : says(template) ? templateFile : undefined;
  };
  const there = (...files: string[]) => files.find((file) => isThere(path, file));
  const scheduler = configs[schedulerFile]!;
  const { size, defaults } = configs[settingsFile]!;
  const vae = there('vae/config.json', 'vae_encoder/config.json', 'vae_decoder/config.json');
  const sizeTold = size?.native !== undefined || there('unet/config.json') !== undefined;
  const rows: readonly [what: string, value: Decision['value'] | undefined, from: string | undefined][] = [
    ['latent consistency', facts.latentConsistency, "the UNet's inputs"],
    ['turbo', facts.turbo, saying('turbo') ?? (facts.turbo ? 'its name' : undefined)],
    ['scheduler', scheduler._class_name, saying('scheduler', '_class_name') ?? there(schedulerFile)],
    [
      'prediction type',
      scheduler.prediction_type,
      saying('scheduler', 'prediction_type') ?? saying('prediction_type') ?? there(schedulerFile),
    ],
    ['default scheduler', defaults?.scheduler, settingsFile],
    ['default steps', defaults?.steps, saying('defaults', 'steps')],
    ['default guidance', defaults?.guidance, saying('defaults', 'guidance')],
    ['native size', size?.native, saying('size', 'native')],
    ['native latents', sizeTold ? undefined : configs['unet/config.json']?.sample_size, undefined],
    [
      'scaling factor',
      vae ? undefined : configs['vae_decoder/config.json']?.scaling_factor,
      saying('vae', 'scaling_factor'),
    ],
  ];
  return rows.flatMap(([what, value, from = 'the family']) => (value === undefined ? [] : [{ what, value, from }]));
}
