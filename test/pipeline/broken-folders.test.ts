import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { loadModel } from '../../src/pipeline/model.js';
import { startApp } from '../start.js';
import { type FamilyName, node, rewriteGraph, type Variant, writeFolder } from './folders.js';

interface Broken {
  readonly family?: FamilyName;
  readonly variant?: Variant;
  breaks(folder: string): void;
  readonly reason: RegExp;
}

const json = (folder: string, file: string, change: object) => {
  const path = join(folder, file);
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
};
const cut = (path: string) => truncateSync(path, Math.floor(statSync(path).size / 2));
const fuse = (folder: string) =>
  rewriteGraph(folder, 'unet', ({ nodes }) => {
    nodes.push({ ...node('GroupNorm', ['sample'], ['fused']), domain: 'com.microsoft' });
  });

const brokenFolders: Record<string, Broken> = {
  'a missing graph': {
    breaks: (folder) => rmSync(join(folder, 'vae_decoder/model.onnx')),
    reason: /^vae_decoder\/model\.onnx is missing$/,
  },
  'a missing second text encoder': {
    family: 'sdxl',
    breaks: (folder) => rmSync(join(folder, 'text_encoder_2'), { recursive: true }),
    reason: /^text_encoder_2\/model\.onnx is missing$/,
  },
  'a missing tokenizer': {
    breaks: (folder) => rmSync(join(folder, 'tokenizer'), { recursive: true }),
    reason: /tokenizer\/ has neither tokenizer\.json nor vocab\.json with merges\.txt/,
  },
  'no scheduler config': {
    breaks: (folder) => rmSync(join(folder, 'scheduler/scheduler_config.json')),
    reason: /^scheduler\/scheduler_config\.json is missing$/,
  },
  'a truncated graph': {
    breaks: (folder) => cut(join(folder, 'unet/model.onnx')),
    reason: /^unet\/model\.onnx cannot be read: the file is truncated$/,
  },
  'an empty graph': {
    breaks: (folder) => writeFileSync(join(folder, 'unet/model.onnx'), ''),
    reason: /^unet\/model\.onnx cannot be read: it holds no graph$/,
  },
  'a pointer of git instead of a graph': {
    breaks: (folder) =>
      writeFileSync(
        join(folder, 'unet/model.onnx'),
        'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n',
      ),
    reason: /^unet\/model\.onnx is a Git LFS pointer: run git lfs pull$/,
  },
  'missing external data': {
    variant: { weights: 'external' },
    breaks: (folder) => rmSync(join(folder, 'unet/model.onnx_data')),
    reason: /^unet\/model\.onnx cannot be read: its weights model\.onnx_data are missing$/,
  },
  'truncated external data': {
    variant: { weights: 'external' },
    breaks: (folder) => cut(join(folder, 'text_encoder/model.onnx_data')),
    reason:
      /^text_encoder\/model\.onnx cannot be read: its weights model\.onnx_data are truncated: \d+ bytes of at least \d+$/,
  },
  'an input of a wrong dtype': {
    breaks: (folder) =>
      rewriteGraph(folder, 'unet', ({ inputs }) => {
        inputs.find(({ name }) => name === 'sample')!.dataType = 16;
      }),
    reason: /^unet wants its input sample as bfloat16, which is not supported/,
  },
  'ids that are no integers': {
    breaks: (folder) =>
      rewriteGraph(folder, 'text_encoder', ({ inputs }) => {
        inputs[0]!.dataType = 1;
      }),
    reason: /^text_encoder wants its input input_ids as float32, which is not supported \(supported: int64, int32\)$/,
  },
  'an operator that nobody has': {
    breaks: (folder) =>
      rewriteGraph(folder, 'vae_decoder', ({ nodes }) => {
        nodes.push(node('Fancy', ['latent_sample'], ['unused']));
      }),
    reason: /^vae_decoder\/model\.onnx does not load: /,
  },
  'nodes that only CUDA has': {
    breaks: fuse,
    reason: /^unet\/model\.onnx was optimised for CUDA \(it has GroupNorm\), and this server runs on the CPU/,
  },
  'an input that is not known': {
    breaks: (folder) =>
      rewriteGraph(folder, 'unet', ({ inputs }) => {
        inputs.push({ name: 'mid_block_additional_residual', dataType: 1, shape: ['batch', 16, 'height', 'width'] });
      }),
    reason: /^unet wants an input that is not supported: mid_block_additional_residual$/,
  },
  'an unknown scheduler class': {
    breaks: (folder) => json(folder, 'scheduler/scheduler_config.json', { _class_name: 'FancyScheduler' }),
    reason: /^the scheduler class FancyScheduler is not supported \(supported: .*name another one in img2img\.json/,
  },
  'an unknown pipeline class': {
    breaks: (folder) => json(folder, 'model_index.json', { _class_name: 'KandinskyPipeline' }),
    reason: /^the pipeline class KandinskyPipeline is not supported/,
  },
  'a clip skip that the graph cannot do': {
    breaks: (folder) => writeFileSync(join(folder, 'img2img.json'), '{"clip_skip": 1}'),
    reason: /^img2img\.json asks for clip_skip 1, which a Stable Diffusion text encoder cannot do/,
  },
  'a vocabulary that is no object': {
    breaks: (folder) => writeFileSync(join(folder, 'img2img.json'), '{"vocabulary": ["red"]}'),
    reason: /^img2img\.json: vocabulary is a list of 1; it must be an object$/,
  },
  'a vocabulary with a group of its own': {
    breaks: (folder) => writeFileSync(join(folder, 'img2img.json'), '{"vocabulary": {"moods": ["calm"]}}'),
    reason: /^img2img\.json: "vocabulary\.moods" is not known \(known: styles, qualities, colours, other\)$/,
  },
  'a vocabulary of things that are no words': {
    breaks: (folder) => writeFileSync(join(folder, 'img2img.json'), '{"vocabulary": {"styles": ["ink", 8]}}'),
    reason: /^img2img\.json: vocabulary\.styles\.1 is 8; it must be a string$/,
  },
  'a clip skip of more layers than there are': {
    family: 'sdxl',
    breaks: (folder) => writeFileSync(join(folder, 'img2img.json'), '{"clip_skip": 9}'),
    reason: /^text_encoder has no output hidden_states\.-7/,
  },
  'a batch axis of a fixed length': {
    breaks: (folder) =>
      rewriteGraph(folder, 'unet', ({ inputs }) => {
        for (const input of inputs) if (input.shape!.length > 1) input.shape![0] = 2;
      }),
    reason: /^unet takes exactly 2 rows of sample; export it with a dynamic batch axis$/,
  },
};

const parent = t.testdir();
const modelsDir = join(parent, 'models');
const cacheDir = join(parent, 'cache');

t.test('a folder that cannot run says why in one sentence', async (t) => {
  for (const [name, { family = 'sd', variant, breaks, reason }] of Object.entries(brokenFolders)) {
    const folder = writeFolder(modelsDir, family, variant, name.replaceAll(' ', '-'));
    breaks(folder);
    await t.rejects(loadModel(folder, { provider: 'cpu', threads: 1, cacheDir }), { message: reason }, name);
  }
});

t.test('a folder for CUDA is refused on the CPU only', async (t) => {
  const folder = join(modelsDir, 'nodes-that-only-CUDA-has');
  t.throws(() => readModelFolder(folder, 'cpu'), /optimised for CUDA/);
  t.equal(readModelFolder(folder, 'cuda').kind, 'sd');
});

t.test('broken folders are told with their reasons, and do not stop the others from being served', async (t) => {
  writeFolder(modelsDir, 'sdxl', {}, 'zz-sdxl');
  writeFolder(modelsDir, 'sd', { weights: 'external' }, 'zz-sd');
  const { engine } = await startApp(t, { MODELS_DIR: modelsDir, THREADS: '1', CACHE_DIR: cacheDir });
  const job = (model: string) => ({
    model,
    request: {
      pixels: { data: new Uint8Array(32 * 32 * 3), width: 32, height: 32 },
      prompt: 'red',
      negativePrompt: '',
      strength: 0.5,
      guidanceScale: 2,
      steps: 4,
      scheduler: 'ddim' as const,
      seed: 1,
    },
  });
  for (const model of ['zz-sdxl', 'zz-sd']) {
    const [generated] = await engine.generate([job(model)], { signal: new AbortController().signal });
    t.equal(generated!.pixels.data.length, 32 * 32 * 3, model);
  }
  // What only onnxruntime finds is known from the first use on.
  for (const [name, { reason }] of Object.entries(brokenFolders)) {
    const model = name.replaceAll(' ', '-');
    await t.rejects(engine.generate([job(model)], { signal: new AbortController().signal }), model);
    const entry = engine.models.find((one) => one.name === model);
    t.match(entry, { runnable: false, reason }, name);
  }
});
