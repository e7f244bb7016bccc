// ONNX folders without configs: nothing but graphs, tokenizers and, from Amuse, a template.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { clipFolder } from '../../src/pipeline/clip-vocabulary.js';
import { decisionsOf } from '../../src/pipeline/folder/decisions.js';
import { openSource, readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { inspectModel } from '../../src/pipeline/inspect-model.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { encodeNode, type GraphFile } from '../../src/pipeline/onnx/graph-file.js';
import { bytesField, encodeMessage, fieldsOf, read, varintField } from '../../src/pipeline/onnx/wire.js';
import { type Case, generate, reference, requestOf } from './cases.js';
import { type FamilyName, families, node, rewriteGraph, type Variant, writeFolder } from './folders.js';

const { cases } = JSON.parse(readFileSync(reference('families.json'), 'utf8')) as {
  cases: (Case & { family: FamilyName; rescale: number })[];
};
const parent = t.testdir();
const device = { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') } as const;
const json = (folder: string, file: string, value: unknown) => writeFileSync(join(folder, file), JSON.stringify(value));

/** What no graph says of the small folders: their VAE's numbers, and where their schedules differ from the first models'. */
const unsaid: Readonly<Record<FamilyName, object>> = {
  sd: { scheduler: { _class_name: 'DDIMScheduler', timestep_spacing: 'leading' }, vae: { scaling_factor: 0.5 } },
  'sd-v': {
    prediction_type: 'v_prediction',
    scheduler: { _class_name: 'DDIMScheduler', timestep_spacing: 'leading' },
    vae: { scaling_factor: 0.5 },
  },
  sdxl: {
    vae: { scaling_factor: 0.5, latents_mean: [0.1, -0.2, 0.3, 0], latents_std: [0.9, 1.1, 1.2, 0.8] },
  },
  'sdxl-refiner': { vae: { scaling_factor: 0.5 } },
  lcm: { vae: { scaling_factor: 0.5 } },
  'instruct-pix2pix': { vae: { scaling_factor: 0.5 } },
};

/** A folder of a family without its configs; what it cannot say stands in img2img.json. */
function bare(family: FamilyName, name: string, settings: object = unsaid[family], variant: Variant = {}): string {
  const folder = writeFolder(parent, family, variant, name);
  rmSync(join(folder, 'model_index.json'));
  rmSync(join(folder, 'scheduler'), { recursive: true });
  for (const part of readdirSync(folder)) {
    if (statSync(join(folder, part)).isDirectory()) rmSync(join(folder, part, 'config.json'), { force: true });
  }
  json(folder, 'img2img.json', settings);
  return folder;
}

/** As exporters that name every axis, and the channels of a picture too. */
function nameEveryAxis(graph: GraphFile): void {
  for (const value of [...graph.inputs, ...graph.outputs]) {
    value.shape = value.shape?.map((side, i) => (i === 0 ? side : `${value.name}_${i}`));
  }
  graph.dropInnerShapes();
}

const variants: Readonly<Record<string, { variant?: Variant; change?: (graph: GraphFile) => void }>> = {
  'as optimum-onnx exports': {},
  'with every axis named and the weights beside the graphs': {
    variant: { weights: 'external' },
    change: nameEveryAxis,
  },
};

for (const family of families) {
  t.test(`${family}: without configs a folder gives the bytes that it gives with them`, async (t) => {
    const whole = await loadModel(writeFolder(parent, family, {}, `${family}-whole`), device);
    const chosen = cases.filter((c) => c.family === family && c.rescale === 0).slice(0, 2);
    const expected: Uint8Array[] = [];
    for (const c of chosen) expected.push((await generate(whole, [requestOf(c)]))[0]!.pixels.data);
    for (const [i, [told, { variant, change }]] of Object.entries(variants).entries()) {
      const folder = bare(family, `${family}-bare-${i}`, unsaid[family], variant);
      for (const part of readdirSync(folder)) if (change) rewriteGraph(folder, part, change);
      const model = await loadModel(folder, device);
      const { kind, latentChannels, vaeChannels, vaeScale, textEncoders, guidanceWidth, inpaints } = whole.folder;
      t.match(model.folder, { kind, latentChannels, vaeChannels, vaeScale, guidanceWidth, inpaints });
      t.strictSame(
        model.folder.textEncoders.map(({ tokenizerSource, ...rest }) => rest),
        textEncoders.map(({ tokenizerSource, ...rest }) => rest),
      );
      for (const [j, c] of chosen.entries()) {
        const [made] = await generate(model, [requestOf(c)]);
        t.strictSame(made!.pixels.data, expected[j], `${told}: ${c.scheduler} at ${c.strength}`);
      }
      await releaseModel(model);
    }
    await releaseModel(whole);
  });
}

function takeChannels(folder: string, channels: number): void {
  rewriteGraph(folder, 'unet', ({ inputs }) => {
    inputs.find(({ name }) => name === 'sample')!.shape![1] = channels;
  });
}

/** As TensorStack's own folders have it. */
const template = (own: object, scheduler: object = {}) => ({
  Id: '0',
  Name: 'Dream',
  Description: 'Dreams',
  Category: 'StableDiffusion',
  UpscaleTemplate: null,
  StableDiffusionTemplate: {
    PipelineType: 'StableDiffusion',
    ModelType: 'Base',
    SampleSize: 512,
    TokenizerLength: 768,
    DiffuserTypes: ['TextToImage', 'ImageToImage'],
    SchedulerDefaults: {
      SchedulerType: 'EulerAncestral',
      Steps: 30,
      StepsMin: 4,
      Guidance: 4,
      TimestepSpacing: 'Linspace',
      BetaSchedule: 'ScaledLinear',
      BetaStart: 0.00085,
      BetaEnd: 0.012,
      PredictionType: null,
      ...scheduler,
    },
    ...own,
  },
  LicenceType: 'NonCommercial',
  Tags: ['GPU', 'F16'],
});

/** Adds a table to look up in, without its numbers. */
function withTable(path: string, dims: readonly number[]): void {
  const [table, ids] = ['table', 'input_ids'];
  const tensor = [...dims.map((dim) => varintField(1, dim)), varintField(2, 1), bytesField(8, table)];
  const gather = encodeNode(node('Gather', [table, ids], ['looked_up']));
  const fields = [...fieldsOf(readFileSync(path))].map((field) =>
    field.number === 7
      ? bytesField(
          7,
          Buffer.concat([
            read(field.bytes),
            encodeMessage([bytesField(1, gather), bytesField(5, encodeMessage(tensor))]),
          ]),
        )
      : field,
  );
  writeFileSync(path, encodeMessage(fields));
}

interface Told {
  readonly family?: FamilyName;
  readonly variant?: Variant;
  readonly name?: string;
  readonly files?: Readonly<Record<string, object>>;
  readonly change?: (folder: string) => void;
  readonly expect: object;
  /** what -> from */
  readonly from?: Readonly<Record<string, string>>;
}

const told: Readonly<Record<string, Told>> = {
  'nothing but graphs: the first models of the family': {
    expect: {
      kind: 'sd',
      defaults: { steps: 25, guidance: 7.5, scheduler: 'pndm' },
      schedulerConfig: { prediction_type: 'epsilon', steps_offset: 1 },
      latentScale: { factor: 0.18215 },
      size: { native: 128 }, // 64 latents, in the small VAE's two pixels
    },
    from: {
      kind: "the text encoder's width, 16",
      scheduler: 'the default of sd1',
      'prediction type': 'the default of sd1',
      'scaling factor': 'the default of sd1',
      tokenizer: 'tokenizer/merges.txt and tokenizer/vocab.json',
    },
  },
  'Stable Diffusion XL': {
    family: 'sdxl',
    expect: {
      kind: 'sdxl',
      defaults: { scheduler: 'euler', guidance: 5 },
      latentScale: { factor: 0.13025 },
      zerosForEmptyPrompt: true,
    },
    from: { kind: "the UNet's 6 time_ids" },
  },
  'a refiner': {
    family: 'sdxl-refiner',
    expect: { kind: 'sdxl-refiner', wantsAestheticScore: true, zerosForEmptyPrompt: false },
    from: { kind: "the UNet's 5 time_ids" },
  },
  'a latent consistency model': {
    family: 'lcm',
    expect: { kind: 'lcm', defaults: { steps: 4, scheduler: 'lcm' }, guidanceWidth: 32 },
    from: { scheduler: "the UNet's input timestep_cond" },
  },
  'turbo by name': {
    name: 'dream-Turbo',
    expect: { kind: 'sd-turbo', schedulerConfig: { timestep_spacing: 'trailing' }, defaults: { guidance: 1 } },
    from: { turbo: 'its name' },
  },
  'a template': {
    files: { 'amuse_template.json': template({}) },
    expect: {
      title: 'Dream',
      description: 'Dreams',
      license: 'NonCommercial',
      defaults: { steps: 30, guidance: 4, scheduler: 'euler_a' },
      schedulerConfig: { timestep_spacing: 'linspace', prediction_type: 'epsilon' },
      size: { native: 512 },
    },
    from: {
      scheduler: 'amuse_template.json',
      'native size': 'amuse_template.json',
      steps: 'amuse_template.json',
    },
  },
  'img2img.json before the template': {
    files: {
      'amuse_template.json': template({}),
      'img2img.json': { title: 'Mine', scheduler: 'ddim', defaults: { steps: 12 }, size: { native: 256 } },
    },
    expect: {
      title: 'Mine',
      description: 'Dreams',
      defaults: { steps: 12, guidance: 4, scheduler: 'ddim' },
      schedulerConfig: { timestep_spacing: 'linspace' },
      size: { native: 256 },
    },
    from: {
      steps: 'img2img.json',
      scheduler: 'img2img.json',
      guidance: 'amuse_template.json',
    },
  },
  'keys of a scheduler before the template': {
    files: {
      'amuse_template.json': template({}),
      'img2img.json': { prediction_type: 'v_prediction', zero_snr: true, scheduler: { _class_name: 'DDIMScheduler' } },
    },
    expect: {
      kind: 'sd-v',
      defaults: { scheduler: 'ddim' },
      schedulerConfig: { prediction_type: 'v_prediction', rescale_betas_zero_snr: true, timestep_spacing: 'linspace' },
    },
    from: { scheduler: 'img2img.json', 'prediction type': 'img2img.json' },
  },
  'turbo by the template': {
    family: 'sdxl',
    files: {
      'amuse_template.json': template({ PipelineType: 'StableDiffusionXL', ModelType: 'Turbo' }, { Guidance: 0 }),
    },
    expect: { kind: 'sdxl-turbo', defaults: { guidance: 0 } },
    from: { turbo: 'amuse_template.json' },
  },
  'a template of a refiner, and a first text encoder that it has no use for': {
    family: 'sdxl-refiner',
    files: { 'amuse_template.json': template({ PipelineType: 'StableDiffusionXL', ModelType: 'Refiner' }) },
    change: (folder) => writeFileSync(join(folder, 'text_encoder'), ''),
    expect: { kind: 'sdxl-refiner', textEncoders: [{ component: 'text_encoder_2' }] },
    from: { kind: 'amuse_template.json' },
  },
  'a consistency model whose UNet takes no guidance': {
    files: {
      'amuse_template.json': {
        StableDiffusionTemplate: { PipelineType: 'LatentConsistency', SchedulerDefaults: null },
      },
    },
    expect: { kind: 'sd', defaults: { steps: 4, guidance: 1, scheduler: 'lcm' } },
  },
  'configs that lie there all the same': {
    files: {
      'scheduler/scheduler_config.json': { _class_name: 'DDIMScheduler', prediction_type: 'sample' },
      'unet/config.json': { sample_size: 16 },
      'vae_decoder/config.json': { scaling_factor: 0.3 },
    },
    expect: {
      defaults: { scheduler: 'ddim' },
      schedulerConfig: { prediction_type: 'sample' },
      size: { native: 32 },
      latentScale: { factor: 0.3 },
    },
    from: {
      scheduler: 'scheduler/scheduler_config.json',
      'scaling factor': 'vae_decoder/config.json',
      'native size': 'unet/config.json',
    },
  },
  'half weights behind casts, and every axis named': {
    family: 'lcm',
    variant: { precision: 'fp16' },
    change: (folder) => {
      for (const part of readdirSync(folder)) rewriteGraph(folder, part, nameEveryAxis);
    },
    expect: {
      precision: 'fp32',
      parts: [{ weights: ['fp16'], computes: 'fp32' }],
      latentChannels: 4,
      vaeChannels: 4,
      guidanceWidth: 32,
      textEncoders: [{ maxTokens: 16 }],
    },
  },
  'nine channels whose axis is named': {
    change: (folder) => {
      rewriteGraph(folder, 'unet', nameEveryAxis);
      json(folder, 'unet/config.json', { in_channels: 9, out_channels: 4 });
    },
    expect: { inpaints: true },
  },
  'an encoder that draws inside': {
    variant: { encoder: 'latent_sample' },
    expect: { encoderGives: 'latent_sample' },
  },
  'an encoder that gives the latents of its distribution, by the name of drawn ones': {
    variant: { encoder: 'latent_sample' },
    change: (folder) =>
      rewriteGraph(folder, 'vae_encoder', ({ nodes }) => {
        Object.assign(nodes.find(({ opType }) => opType === 'RandomNormalLike')!, {
          opType: 'Sub',
          inputs: ['mean', 'mean'],
        });
      }),
    expect: { encoderGives: 'latents' },
  },
  'Stable Diffusion 2, by the width of its text encoder': {
    change: (folder) => withTable(join(folder, 'text_encoder/model.onnx'), [600, 1024]),
    expect: { kind: 'sd-v', schedulerConfig: { prediction_type: 'v_prediction', _class_name: 'DDIMScheduler' } },
    from: { kind: "the text encoder's width, 1024", 'prediction type': 'the default of sd2' },
  },
  'Stable Diffusion 2, whose template calls it the first one, which predicts noise': {
    files: { 'amuse_template.json': template({}) },
    change: (folder) => withTable(join(folder, 'text_encoder/model.onnx'), [600, 1024]),
    expect: { kind: 'sd', schedulerConfig: { prediction_type: 'epsilon' } },
    from: { 'prediction type': 'amuse_template.json' },
  },
  "CLIP's tokenizers": {
    family: 'sdxl',
    change: (folder) => {
      for (const name of ['tokenizer', 'tokenizer_2']) rmSync(join(folder, name), { recursive: true });
    },
    expect: {
      textEncoders: [
        { tokenizerSource: { folder: clipFolder, padToken: '<|endoftext|>' } },
        { tokenizerSource: { folder: clipFolder, padToken: '!' } },
      ],
    },
  },
};

t.test('what no config says is worked out, and told with where it came from', async (t) => {
  for (const [i, [name, { family = 'sd', variant, files = {}, change, expect, from = {}, ...one }]] of Object.entries(
    told,
  ).entries()) {
    const folder = bare(family, one.name ?? `told-${i}`, {}, variant);
    for (const [file, value] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      json(folder, file, value);
    }
    change?.(folder);
    const model = readModelFolder(folder, 'cpu');
    t.match(model, expect, name);
    const decisions = decisionsOf(openSource(folder), model);
    for (const [what, origin] of Object.entries(from)) {
      t.equal(decisions.find((decision) => decision.what === what)?.from, origin, `${name}: ${what}`);
    }
  }
});

t.test('the second tokenizer pads with what open_clip pads with', async (t) => {
  const folder = bare('sdxl', 'padded', {});
  rmSync(join(folder, 'tokenizer_2'), { recursive: true });
  const { tokenizers } = inspectModel(folder, 'cpu');
  t.equal(tokenizers.tokenizer_2!.frame([]).at(-1), 0);
});

interface Refused {
  readonly family?: FamilyName;
  readonly files?: Readonly<Record<string, unknown>>;
  readonly change?: (folder: string) => void;
  readonly reason: RegExp;
}

const refused: Readonly<Record<string, Refused>> = {
  'a transformer': {
    change: (folder) => renameSync(join(folder, 'unet'), join(folder, 'transformer')),
    reason: /^it has a transformer in the place of a UNet, as Stable Diffusion 3 and Flux do, which is not supported/,
  },
  "another pipeline's template": {
    files: { 'amuse_template.json': template({ PipelineType: 'StableDiffusion3' }) },
    reason:
      /^amuse_template\.json has the PipelineType "StableDiffusion3", which is not supported \(supported: StableDiffusion, StableDiffusion2, /,
  },
  'a scheduler that nobody else has': {
    files: { 'amuse_template.json': template({}, { SchedulerType: 'InstaFlow' }) },
    reason: /^amuse_template\.json has the SchedulerType "InstaFlow", which is not supported \(supported: LMS, Euler, /,
  },
  'a name that objects have': {
    files: { 'amuse_template.json': template({}, { SchedulerType: 'constructor' }) },
    reason: /^amuse_template\.json has the SchedulerType "constructor", which is not supported/,
  },
  'a template out of range': {
    files: { 'amuse_template.json': template({ SampleSize: 1e9 }) },
    reason: /^amuse_template\.json: StableDiffusionTemplate\.SampleSize is 1000000000; it must be at most 4096$/,
  },
  'a template that is no object': {
    files: { 'amuse_template.json': [1] },
    reason: /^amuse_template\.json is not a JSON object$/,
  },
  'a template and nothing else': {
    change: (folder) => {
      json(folder, 'amuse_template.json', template({}));
      rmSync(join(folder, 'unet'), { recursive: true });
    },
    reason: /^unet\/model\.onnx is missing$/,
  },
  'a key that img2img.json does not have': {
    files: { 'img2img.json': { prediction: 'v' } },
    reason: /^img2img\.json: "prediction" is not known \(known: title, .*prediction_type/,
  },
  'no encoder for pictures': {
    change: (folder) => rmSync(join(folder, 'vae_encoder'), { recursive: true }),
    reason: /^vae_encoder\/model\.onnx is missing$/,
  },
  'a base model of XL without its first text encoder': {
    family: 'sdxl',
    change: (folder) => rmSync(join(folder, 'text_encoder'), { recursive: true }),
    reason: /^text_encoder\/model\.onnx is missing$/,
  },
  'channels that are neither for inpainting nor for edits': {
    change: (folder) => takeChannels(folder, 10),
    reason:
      /^unet takes 10 channels, which is not supported \(supported: 4, 9 for inpainting, and 8 for InstructPix2Pix\)$/,
  },
  'InstructPix2Pix of XL': {
    family: 'sdxl',
    change: (folder) => takeChannels(folder, 8),
    reason:
      /^unet takes the starter beside the latents, as InstructPix2Pix does, which is supported for StableDiffusion pipelines only$/,
  },
  'InstructPix2Pix that takes its guidance as an embedding': {
    family: 'lcm',
    change: (folder) => takeChannels(folder, 8),
    reason:
      /^unet takes the starter beside the latents, as InstructPix2Pix does, which is supported for StableDiffusion pipelines only$/,
  },
  'a UNet that takes the residuals of a ControlNet': {
    change: (folder) =>
      rewriteGraph(folder, 'unet', ({ inputs }) => {
        inputs.push({ ...inputs[0]!, name: 'down_block_0' });
      }),
    reason: /^unet wants an input that is not supported: down_block_0$/,
  },
};

t.test('what cannot run says why', async (t) => {
  for (const [i, [name, { family = 'sd', files = {}, change, reason }]] of Object.entries(refused).entries()) {
    const folder = bare(family, `refused-${i}`, {});
    for (const [file, value] of Object.entries(files)) json(folder, file, value);
    change?.(folder);
    t.throws(() => readModelFolder(folder, 'cpu'), { message: reason }, name);
  }
});
