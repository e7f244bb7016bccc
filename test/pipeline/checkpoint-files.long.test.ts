// Checkpoints that cannot run, what files leave open, and how files are listed.

import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findModels } from '../../src/pipeline/folder/find-models.js';
import { digestFolder, stampFolder } from '../../src/pipeline/folder/folder-digest.js';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { generate, requestOf } from './cases.js';
import {
  type CheckpointFamily,
  checkpointCases,
  tensorsOf,
  weightsName,
  writeCheckpointFolder,
  writeSingleFile,
} from './checkpoints.js';
import { writeSafetensors } from './safetensors/write.js';

const parent = t.testdir();
const read = (path: string) => readModelFolder(path, 'cpu');
const one = (dtype = 'F32', shape = [1]) => ({ dtype, shape, data: new Uint8Array(dtype === 'F32' ? 4 : 1) });

const folder = writeCheckpointFolder(join(parent, 'folder'), 'sd');
const unetFile = 'unet/diffusion_pytorch_model.safetensors';
const config = (path: string, change: object) =>
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
const unetTensors = tensorsOf('sd', 'unet', 'float32');

/** The text encoder, which is most of the bytes, stays where it is. */
function copy(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true, filter: (path) => !path.endsWith('text_encoder') });
  symlinkSync(join(from, 'text_encoder'), join(to, 'text_encoder'));
}

const brokenFolders: Record<string, { breaks(path: string): void; reason: RegExp }> = {
  'a truncated download': {
    breaks: (path) => truncateSync(join(path, unetFile), 100_000),
    reason: /^unet\/diffusion_pytorch_model\.safetensors cannot be read: .*: the file is truncated, or wrong$/,
  },
  'pickles only': {
    breaks: (path) => renameSync(join(path, unetFile), join(path, 'unet/diffusion_pytorch_model.bin')),
    reason:
      /^unet\/diffusion_pytorch_model\.bin is a pickle, which can run programs.*: save the model as \.safetensors/,
  },
  'no weights': {
    breaks: (path) => rmSync(join(path, unetFile)),
    reason: /^unet\/model\.onnx is missing, and unet\/ holds no safetensors either$/,
  },
  'no config of a part': {
    breaks: (path) => rmSync(join(path, 'vae/config.json')),
    reason: /^vae\/config\.json is missing$/,
  },
  'a weight that is missing': {
    breaks: (path) => {
      const { 'mid_block.resnets.0.conv1.weight': _, ...rest } = unetTensors;
      writeSafetensors(join(path, unetFile), rest);
    },
    reason: /^unet: its weights mid_block\.resnets\.0\.conv1\.weight are missing$/,
  },
  'a weight that is too many': {
    breaks: (path) => writeSafetensors(join(path, unetFile), { ...unetTensors, 'class_embedding.weight': one() }),
    reason: /^unet: it has 1 weights that its architecture does not use, class_embedding\.weight among them/,
  },
  'weights of another width': {
    breaks: (path) => config(join(path, 'unet/config.json'), { block_out_channels: [32, 32, 64, 96] }),
    reason: /^unet: its weights down_blocks\.3\.resnets\.0\.conv1\.bias are \[64\], and the architecture wants \[96\]$/,
  },
  'weights of eight bits': {
    breaks: (path) => {
      const shape = unetTensors['conv_in.weight']!.shape;
      const data = new Uint8Array(shape.reduce((a, b) => a * b, 1));
      writeSafetensors(join(path, unetFile), { ...unetTensors, 'conv_in.weight': { dtype: 'F8_E4M3', shape, data } });
    },
    reason: /^its unet is in fp8 \(F8_E4M3\), which is not supported; take the version in fp16 or bf16$/,
  },
  'an option that is not understood': {
    breaks: (path) => config(join(path, 'unet/config.json'), { class_embed_type: 'timestep' }),
    reason: /^unet\/config\.json has class_embed_type "timestep", which is not supported$/,
  },
  'a UNet that takes more than a starter beside the latents': {
    breaks: (path) => {
      const [out = 0, , ...kernel] = unetTensors['conv_in.weight']!.shape;
      const shape = [out, 10, ...kernel];
      const data = new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));
      writeSafetensors(join(path, unetFile), { ...unetTensors, 'conv_in.weight': { dtype: 'F32', shape, data } });
      config(join(path, 'unet/config.json'), { in_channels: 10 });
    },
    reason:
      /^unet takes 10 channels, which is not supported \(supported: 4, 9 for inpainting, and 8 for InstructPix2Pix\)$/,
  },
  'a block that is not known': {
    breaks: (path) => config(join(path, 'unet/config.json'), { down_block_types: ['KDownBlock2D', 'a', 'b', 'c'] }),
    reason: /^unet\/config\.json has down_block_types .*supported: CrossAttnDownBlock2D, DownBlock2D/,
  },
  'a million layers': {
    breaks: (path) => config(join(path, 'unet/config.json'), { layers_per_block: 1e6 }),
    reason: /^unet\/config\.json has layers_per_block 1000000, which is not a count, or 4 of them$/,
  },
  'an autoencoder of another kind': {
    breaks: (path) => config(join(path, 'vae/config.json'), { _class_name: 'AsymmetricAutoencoderKL' }),
    reason: /^vae\/config\.json has the class "AsymmetricAutoencoderKL", which is not supported/,
  },
};

t.test('a folder of safetensors that cannot run says why in one sentence', async (t) => {
  for (const [name, { breaks, reason }] of Object.entries(brokenFolders)) {
    const path = join(parent, 'broken');
    copy(folder, path);
    breaks(path);
    t.throws(() => read(path), { name: 'Error', message: reason }, name);
  }
});

const refusedFiles: Record<string, { keys: readonly string[]; reason: RegExp }> = {
  'a LoRA of kohya': { keys: ['lora_unet_down_blocks_0.lora_down.weight'], reason: /^it is a LoRA/ },
  'a LoRA of diffusers': { keys: ['unet.down_blocks.0.attn1.to_k.lora_A.weight'], reason: /^it is a LoRA/ },
  'an embedding': { keys: ['emb_params'], reason: /^it is an embedding, which prompts name/ },
  'an embedding of XL': { keys: ['clip_g', 'clip_l'], reason: /^it is an embedding, which prompts name/ },
  'a VAE': {
    keys: ['decoder.conv_in.weight', 'encoder.conv_in.weight'],
    reason: /^it is a VAE without a model; it belongs/,
  },
  'a part of diffusers': {
    keys: ['down_blocks.0.resnets.0.conv1.weight'],
    reason: /^it is a part of a model in diffusers/,
  },
  'a ControlNet': { keys: ['control_model.input_blocks.0.0.weight'], reason: /^it is a ControlNet/ },
  "a ControlNet of diffusers'": {
    keys: ['controlnet_cond_embedding.conv_in.weight', 'down_blocks.0.resnets.0.conv1.weight'],
    reason: /^it is a ControlNet/,
  },
  'a tiny autoencoder': {
    keys: ['decoder.layers.2.conv.0.weight'],
    reason: /^it is a tiny autoencoder without a model/,
  },
  'half of the original tiny autoencoder': {
    keys: ['3.conv.0.weight', '1.weight'],
    reason: /^it is a tiny autoencoder/,
  },
  'the transformer of Stable Diffusion 3': {
    keys: ['joint_blocks.0.x_block.attn.qkv.weight'],
    reason: /^it is the transformer of Stable Diffusion 3 alone; take the file that has the VAE too/,
  },
  'Stable Diffusion 3 without a VAE': {
    keys: ['model.diffusion_model.x_embedder.proj.weight', 'model.diffusion_model.joint_blocks.0.x_block.a'],
    reason: /^it holds no VAE/,
  },
  'nothing that is known': { keys: ['a'], reason: /^it holds no model that is known/ },
  'a model without a text encoder': {
    keys: ['model.diffusion_model.input_blocks.0.0.weight'],
    reason: /^it holds no text encoder that is known/,
  },
  'a model without a VAE': {
    keys: ['model.diffusion_model.input_blocks.0.0.weight', 'cond_stage_model.transformer.text_model.a'],
    reason: /^it holds no VAE/,
  },
};

t.test('a file that is no whole model says what it is', async (t) => {
  const path = join(parent, 'refused.safetensors');
  for (const [name, { keys, reason }] of Object.entries(refusedFiles)) {
    writeSafetensors(path, Object.fromEntries(keys.map((key) => [key, one()])));
    t.throws(() => read(path), { message: reason }, name);
  }
  writeFileSync(path, 'not a model');
  t.throws(() => read(path), { message: /^it cannot be read: its header says that it takes/ });
  writeFileSync(join(parent, 'old.ckpt'), '');
  t.throws(() => read(join(parent, 'old.ckpt')), { message: /^old\.ckpt is a pickle/ });
});

t.test('a folder that is a part of a model is listed, and says what it is', async (t) => {
  const models = join(parent, 'parts');
  const folders: Record<string, { config: object; weights: string; reason: RegExp }> = {
    controlnet: {
      config: { _class_name: 'ControlNetModel' },
      weights: 'diffusion_pytorch_model.safetensors',
      reason: /^it is a ControlNet, which is not supported$/,
    },
    union: {
      config: { _class_name: 'FluxControlNetModel' },
      weights: 'diffusion_pytorch_model.bin',
      reason: /^it is a ControlNet/,
    },
    taesd: {
      config: { _class_name: 'AutoencoderTiny' },
      weights: 'diffusion_pytorch_model.safetensors',
      reason: /^it is a tiny autoencoder without a model/,
    },
    'sdxl-vae': {
      config: { _class_name: 'AutoencoderKL' },
      weights: 'diffusion_pytorch_model.fp16.safetensors',
      reason: /^it is a VAE without a model/,
    },
    clip: {
      config: { architectures: ['CLIPTextModel'] },
      weights: 'model.safetensors',
      reason: /^it is a part of a model in diffusers' layout/,
    },
    other: {
      config: { architectures: ['BertModel'] },
      weights: 'pytorch_model.bin',
      reason: /^it is one part of something \("BertModel"\) and no whole model/,
    },
    nameless: { config: {}, weights: 'model.safetensors', reason: /^it is one part of something \("unknown"\)/ },
  };
  for (const [name, { config: json, weights }] of Object.entries(folders)) {
    mkdirSync(join(models, name), { recursive: true });
    writeFileSync(join(models, name, 'config.json'), JSON.stringify(json));
    writeFileSync(join(models, name, weights), '');
  }
  mkdirSync(join(models, 'no weights'));
  writeFileSync(join(models, 'no weights/config.json'), '{}');
  const found = findModels(models).paths;
  t.strictSame([...found.keys()], Object.keys(folders).sort());
  for (const [name, { reason }] of Object.entries(folders)) {
    t.throws(() => read(found.get(name)!), { message: reason }, name);
  }
});

const files = new Map<CheckpointFamily, string>();
for (const family of ['sd', 'sd-v', 'sdxl'] as const) {
  files.set(family, writeSingleFile(join(parent, `${family}.safetensors`), family, 'float16'));
}
const as = (family: CheckpointFamily, name: string, settings?: object): string => {
  const path = join(parent, `${name}.safetensors`);
  rmSync(path, { force: true });
  symlinkSync(files.get(family)!, path);
  if (settings) writeFileSync(join(parent, `${name}.img2img.json`), JSON.stringify(settings));
  return path;
};

t.test('what a file does not say comes from the settings beside it, else from its family', async (t) => {
  t.match(read(as('sd', 'one')), {
    kind: 'sd',
    exporter: 'img2img',
    precision: 'fp32',
    schedulerConfig: { prediction_type: 'epsilon', set_alpha_to_one: false },
    size: { native: 512, multiple: 64, min: 64, max: 1024 },
    defaults: { scheduler: 'pndm', guidance: 7.5, steps: 25 },
    latentScale: { factor: 0.18215 },
  });
  t.match(read(as('sd-v', 'two')), { kind: 'sd-v', size: { native: 768 }, defaults: { scheduler: 'ddim' } });
  t.match(read(as('sd-v', 'two-turbo')), { kind: 'sd-turbo', size: { native: 512 }, defaults: { scheduler: 'euler' } });
  t.match(read(as('sdxl', 'xl')), {
    kind: 'sdxl',
    size: { native: 1024, multiple: 32, min: 64, max: 2048 },
    zerosForEmptyPrompt: true,
  });
  t.match(read(as('sdxl', 'xl-turbo')), {
    kind: 'sdxl-turbo',
    size: { native: 512 },
    defaults: { scheduler: 'euler_a' },
  });
  t.match(read(as('sd-v', 'base', { prediction_type: 'epsilon', title: 'Two' })), { kind: 'sd', title: 'Two' });
  t.match(read(as('sd', 'zero', { prediction_type: 'v_prediction', zero_snr: true })), {
    kind: 'sd-v',
    schedulerConfig: { rescale_betas_zero_snr: true, timestep_spacing: 'trailing' },
  });
  t.match(read(as('sd', 'named', { scheduler: 'dpmpp_2m' })), { defaults: { scheduler: 'dpmpp_2m' } });
  t.match(read(as('sd', 'whole', { scheduler: { _class_name: 'EulerDiscreteScheduler', beta_end: 0.02 } })), {
    defaults: { scheduler: 'euler' },
    schedulerConfig: { beta_end: 0.02 },
  });
  t.throws(() => read(as('sd', 'wrong', { prediction_type: 'flow' })), {
    message: /^wrong\.img2img\.json: prediction_type is "flow"; it must be one of epsilon, v_prediction, sample$/,
  });
  t.throws(() => read(as('sd', 'wrong', { zero_snr: 1 })), {
    message: /^wrong\.img2img\.json: zero_snr is 1; it must be a boolean$/,
  });
});

t.test('metadata says what the settings do not, and less than they do', async (t) => {
  const path = writeSingleFile(join(parent, 'told.safetensors'), 'sd-v', 'float16', {
    'modelspec.architecture': 'stable-diffusion-v2-512',
    'modelspec.resolution': '512x512',
    'modelspec.title': 'A title',
    'modelspec.license': 'CreativeML Open RAIL++-M',
  });
  t.match(read(path), { kind: 'sd', title: 'A title', license: 'CreativeML Open RAIL++-M', size: { native: 512 } });
  writeFileSync(join(parent, 'told.img2img.json'), JSON.stringify({ prediction_type: 'v_prediction', title: 'B' }));
  t.match(read(path), { kind: 'sd-v', title: 'B' });
});

t.test('a part may be ONNX and another safetensors, a variant or shards', async (t) => {
  const path = join(parent, 'mixed');
  copy(folder, path);
  renameSync(join(path, unetFile), join(path, 'unet/diffusion_pytorch_model.fp16.safetensors'));
  t.equal(read(path).kind, 'sd');

  const names = Object.keys(unetTensors);
  const halves = [names.slice(0, 300), names.slice(300)];
  rmSync(join(path, 'unet/diffusion_pytorch_model.fp16.safetensors'));
  const map: Record<string, string> = {};
  for (const [i, own] of halves.entries()) {
    const shard = `diffusion_pytorch_model-0000${i + 1}-of-00002.safetensors`;
    writeSafetensors(join(path, 'unet', shard), Object.fromEntries(own.map((name) => [name, unetTensors[name]!])));
    for (const name of own) map[name] = shard;
  }
  const index = join(path, 'unet/diffusion_pytorch_model.safetensors.index.json');
  writeFileSync(index, JSON.stringify({ weight_map: map }));
  t.equal(read(path).kind, 'sd');

  for (const [change, reason] of [
    [
      { [names[0]!]: '../../../etc/passwd' },
      /cannot be read: its index names the file "\.\.\/\.\.\/\.\.\/etc\/passwd"$/,
    ],
    [{ [names[0]!]: 'gone.safetensors' }, /^unet\/gone\.safetensors is missing$/],
    [{ [names[0]!]: map[names.at(-1)!]! }, /cannot be read: its index looks for .* where it is not$/],
  ] as const) {
    writeFileSync(index, JSON.stringify({ weight_map: { ...map, ...change } }));
    t.throws(() => read(path), { message: reason });
  }
  writeFileSync(index, '{}');
  t.throws(() => read(path), { message: /its index has no weight_map/ });

  const onnx = new URL('../reference/families/sd/', import.meta.url).pathname;
  rmSync(join(path, 'unet'), { recursive: true });
  cpSync(join(onnx, 'unet'), join(path, 'unet'), { recursive: true });
  t.match(read(path), { exporter: 'optimum-onnx', vaeScale: 8 });
  t.type(read(path).graphs.unet, 'string');
  t.type(read(path).graphs.vae_decoder, 'object');
});

t.test('weights may lie behind links, as in the cache of a hub', async (t) => {
  const path = writeCheckpointFolder(join(parent, 'linked'), 'lcm', 'float16');
  const c = checkpointCases.find(({ family, steps }) => family === 'lcm' && steps === 1)!;
  const picture = async () => {
    const model = await loadModel(path, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
    const [made] = await generate(model, [requestOf(c)]);
    await releaseModel(model);
    return Buffer.from(made!.pixels.data);
  };
  const before = await picture();
  const blobs = join(parent, 'blobs/of/strange names');
  mkdirSync(blobs, { recursive: true });
  for (const part of ['unet', 'vae', 'text_encoder']) {
    const file = join(path, part, weightsName(part));
    renameSync(file, join(blobs, part));
    symlinkSync(join(blobs, part), file);
  }
  t.ok(before.equals(await picture()));
});

t.test('a file is listed by its name without the extension, unless a folder has that name', async (t) => {
  const models = join(parent, 'listing');
  mkdirSync(join(models, 'both/unet'), { recursive: true });
  mkdirSync(join(models, 'no-model/pictures'), { recursive: true });
  for (const name of ['both.safetensors', 'alone.safetensors', 'old.ckpt', '.hidden.safetensors', 'readme.txt']) {
    writeFileSync(join(models, name), '');
  }
  const found = findModels(models).paths;
  t.strictSame([...found.keys()], ['alone', 'both', 'both.safetensors', 'old.ckpt']);
  t.equal(found.get('both'), join(models, 'both'));
  t.equal(found.get('both.safetensors'), join(models, 'both.safetensors'));
  t.match(findModels(join(models, 'nowhere')), { problem: /does not exist$/ });
});

t.test('half precision counts as what it becomes in memory, once for each part', async (t) => {
  const elements = (parts: readonly string[]) =>
    parts
      .flatMap((part) => Object.values(tensorsOf('sd', part, 'float16')))
      .reduce((sum, { data }) => sum + data.length / 2, 0);
  t.equal(read(files.get('sd')!).weightBytes.all, 4 * elements(['unet', 'vae', 'text_encoder']));
  t.equal(read(folder).weightBytes.all, 4 * elements(['unet', 'vae', 'text_encoder']));
});

t.test('the digest of a file changes with the settings beside it', async (t) => {
  const path = as('sd', 'digested');
  const [stamp, digest] = [stampFolder(path), await digestFolder(path)];
  as('sd', 'digested', { title: 'New' });
  t.not(stampFolder(path), stamp);
  t.not(await digestFolder(path), digest);
});
