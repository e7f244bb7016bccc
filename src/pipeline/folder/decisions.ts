// All that was decided about a model, and what decided it: for whoever wonders why a model runs as it does.

import type { ModelSource } from '../checkpoint/model-source.js';
import { clipFolder } from '../clip-vocabulary.js';
import { isThere } from './files.js';
import type { ModelFolder } from './model-folder.js';

export interface Decision {
  readonly what: string;
  readonly value: string | number | boolean | null;
  /** For people: a file, a key of a file's metadata, a tensor, a default. */
  readonly from: string;
}

const scheduler = 'scheduler/scheduler_config.json';
const settings = 'img2img.json';

/** @param folder as it was read from the source */
export function decisionsOf(source: ModelSource, folder: ModelFolder): Decision[] {
  const { kind, defaults, size, schedulerConfig: schedule, latentScale, family } = folder;
  const of = (file: string, ...key: [string, ...string[]]) => source.origin(file, key);
  const { tiny_decoder: tiny, vae_decoder: decoder } = folder.graphs;
  const ownDefault = `the default of ${kind}`;
  const plain = 'the default of diffusers';
  const denoiser = family.denoiser === 'unet' ? 'UNet' : 'transformer';
  const channels = `the ${denoiser}'s input channels`;
  const edits = family.starter === 'beside';
  const fixed =
    size.min === size.max && typeof folder.graphs[family.denoiser] === 'string'
      ? `the graph of the ${denoiser}`
      : undefined;
  const native =
    of(settings, 'size', 'native') ?? fixed ?? of(`${family.denoiser}/config.json`, 'sample_size') ?? ownDefault;
  const sides = ['min', 'max', 'multiple'].some((key) => of(settings, 'size', key) !== undefined);
  return [
    { what: 'layout', value: source.layout, from: 'what lies there' },
    { what: 'kind', value: kind, from: edits ? channels : (of('model_index.json', '_class_name') ?? plain) },
    { what: 'turbo', value: kind.endsWith('turbo'), from: turboFrom(source, folder) },
    { what: 'inpainting', value: folder.inpaints, from: channels },
    {
      what: 'guidance embedded',
      value: family.rules.guidance === 'embedded',
      from: 'whether the UNet takes timestep_cond',
    },
    {
      what: 'prediction type',
      value: schedule.prediction_type ?? 'epsilon',
      from: of(scheduler, 'prediction_type') ?? plain,
    },
    {
      what: 'zero terminal SNR',
      value: schedule.rescale_betas_zero_snr ?? false,
      from: of(scheduler, 'rescale_betas_zero_snr') ?? plain,
    },
    {
      what: 'scheduler',
      value: defaults.scheduler,
      from: of(settings, 'defaults', 'scheduler') ?? of(scheduler, '_class_name') ?? ownDefault,
    },
    {
      what: 'timestep spacing',
      value: schedule.timestep_spacing ?? 'that of the scheduler',
      from: of(scheduler, 'timestep_spacing') ?? plain,
    },
    { what: 'steps', value: defaults.steps, from: of(settings, 'defaults', 'steps') ?? ownDefault },
    { what: 'guidance', value: defaults.guidance, from: of(settings, 'defaults', 'guidance') ?? ownDefault },
    ...(defaults.imageGuidance === undefined
      ? []
      : [
          {
            what: 'image guidance',
            value: defaults.imageGuidance,
            from: of(settings, 'defaults', 'image_guidance') ?? ownDefault,
          },
        ]),
    { what: 'native size', value: size.native, from: native },
    {
      what: 'sizes',
      value: `${size.min} to ${size.max}, multiples of ${size.multiple}`,
      from: sides
        ? of(settings, 'size')!
        : (fixed ?? `the native size, and what the ${denoiser} and the VAE divide sides by`),
    },
    {
      what: 'scaling factor',
      value: latentScale.factor,
      from:
        of('vae/config.json', 'scaling_factor') ??
        of('vae_decoder/config.json', 'scaling_factor') ??
        of('vae_encoder/config.json', 'scaling_factor') ??
        ownDefault,
    },
    {
      what: 'tiny autoencoder',
      value: tiny === undefined ? 'none' : decoder === undefined ? 'previews and pictures' : 'previews',
      from: of(settings, 'tiny_vae') ?? (tiny === undefined ? 'nothing names one' : 'what lies there'),
    },
    ...(family.t5
      ? [{ what: 'T5', value: folder.graphs[family.t5.component] ? 'there' : 'absent, zeros', from: 'what lies there' }]
      : []),
    ...(source.textEncodersOf === undefined
      ? []
      : [{ what: 'text encoders of', value: source.textEncodersOf, from: 'text_encoders in its settings' }]),
    { what: 'safety checker', value: folder.hasSafetyChecker, from: 'what lies there' },
    ...folder.textEncoders.map(({ tokenizer, tokenizerSource }) => ({
      what: tokenizer.replace('_', ' '),
      value:
        tokenizerSource.folder === clipFolder
          ? `CLIP's, padded with ${tokenizerSource.padToken}`
          : source.textEncodersOf === undefined
            ? 'its own'
            : `that of ${source.textEncodersOf}`,
      from: tokenizerSource.folder === clipFolder ? 'assets/clip' : tokenizerFile(tokenizerSource.folder, tokenizer),
    })),
    { what: 'title', value: folder.title, from: of(settings, 'title') ?? 'its name' },
    { what: 'license', value: folder.license, from: of(settings, 'license') ?? 'nothing says it' },
  ];
}

function turboFrom(source: ModelSource, { name, kind }: ModelFolder): string {
  const said = source.origin(settings, ['turbo']);
  if (said !== undefined) return said;
  if (kind.endsWith('turbo'))
    return /turbo/i.test(name) ? 'its name' : (source.origin('model_index.json', ['_name_or_path']) ?? 'its name');
  return 'no word of it in its name';
}

const tokenizerFile = (folder: string, name: string): string =>
  isThere(folder, 'tokenizer.json')
    ? `${name}/tokenizer.json`
    : `${name}/merges.txt${isThere(folder, 'vocab.json') ? ` and ${name}/vocab.json` : ''}`;
