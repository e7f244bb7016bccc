// Model folders as strangers may leave them: each gets its sentence, and none costs more than a graph could.

import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { stampFolder } from '../../src/pipeline/folder/folder-digest.js';
import { inspectModel } from '../../src/pipeline/inspect-model.js';
import { bytesField, encodeMessage, varintField } from '../../src/pipeline/onnx/wire.js';
import { moveWeights, node, rewriteGraph, writeFolder } from './folders.js';

interface Case {
  readonly name: string;
  readonly breaks: (folder: string) => void;
  readonly reason: RegExp;
}

const parent = t.testdir();
const change = (folder: string, file: string, keys: object) => {
  const path = join(folder, file);
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...keys }));
};
const lfsPointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 5\n`;
const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
const opset = (version: number, domain = '') =>
  encodeMessage([bytesField(8, encodeMessage([bytesField(1, domain), varintField(2, version)]))]);

const settings = (keys: object, reason: RegExp): Case => ({
  name: `img2img.json with ${JSON.stringify(keys)}`,
  breaks: (folder) => writeFileSync(join(folder, 'img2img.json'), JSON.stringify(keys)),
  reason,
});
const config = (file: string, keys: object, reason: RegExp): Case => ({
  name: `${file} with ${JSON.stringify(keys).slice(0, 60)}`,
  breaks: (folder) => change(folder, file, keys),
  reason,
});
const scheduler = (keys: object, reason: RegExp) => config('scheduler/scheduler_config.json', keys, reason);
const written = (file: string, content: string, reason: RegExp, what = content.slice(0, 20)): Case => ({
  name: `${file} as ${JSON.stringify(what)}`,
  breaks: (folder) => writeFileSync(join(folder, file), content),
  reason,
});
const graph = (name: string, breaks: Case['breaks'], reason: RegExp): Case => ({ name, breaks, reason });
const unet = (folder: string) => join(folder, 'unet/model.onnx');

const files = [
  'model_index.json',
  'unet/config.json',
  'scheduler/scheduler_config.json',
  'tokenizer/vocab.json',
  'tokenizer/merges.txt',
  'tokenizer/tokenizer_config.json',
  'text_encoder/config.json',
  'text_encoder/model.onnx',
  'unet/model.onnx',
  'vae_encoder/model.onnx',
  'vae_decoder/config.json',
];
/** What may lie in the place of any file. */
const inPlaceOf: readonly ((file: string) => Case)[] = [
  (file) => ({
    name: `a pointer of Git LFS as ${file}`,
    breaks: (folder) => writeFileSync(join(folder, file), lfsPointer),
    reason: new RegExp(`^${file.replaceAll('.', '\\.')} is a Git LFS pointer: run git lfs pull$`),
  }),
  (file) => ({
    name: `a folder as ${file}`,
    breaks: (folder) => {
      rmSync(join(folder, file));
      mkdirSync(join(folder, file));
    },
    reason: new RegExp(`^${file} is a folder, not a file$`),
  }),
  (file) => ({
    name: `a FIFO as ${file}`,
    breaks: (folder) => {
      rmSync(join(folder, file));
      spawnSync('mkfifo', [join(folder, file)]);
    },
    reason: new RegExp(`^${file} is a FIFO, not a file$`),
  }),
  (file) => ({
    name: `a device as ${file}`,
    breaks: (folder) => {
      rmSync(join(folder, file));
      symlinkSync('/dev/zero', join(folder, file));
    },
    reason: new RegExp(`^${file} is a device, not a file$`),
  }),
  (file) => ({
    name: `a link to nowhere as ${file}`,
    breaks: (folder) => {
      rmSync(join(folder, file));
      symlinkSync('../blobs/gone', join(folder, file));
    },
    reason: new RegExp(`^${file} is a link that leads nowhere$`),
  }),
  (file) => ({
    name: `a link to itself as ${file}`,
    breaks: (folder) => {
      rmSync(join(folder, file));
      symlinkSync(join(folder, file), join(folder, file));
    },
    reason: new RegExp(`^${file} cannot be read: ELOOP$`),
  }),
];

const cases: readonly Case[] = [
  ...files.flatMap((file) => inPlaceOf.map((one) => one(file))),
  settings({ defaults: { steps: 2.5 } }, /^img2img\.json: defaults\.steps is 2\.5; it must be an integer$/),
  settings({ defaults: { steps: 1001 } }, /^img2img\.json: defaults\.steps is 1001; it must be at most 1000$/),
  settings({ defaults: { guidance: -1 } }, /^img2img\.json: defaults\.guidance is -1; it must be at least 0$/),
  settings(
    { defaults: { guidence: 5 } },
    /^img2img\.json: "defaults\.guidence" is not known \(known: steps, guidance, /,
  ),
  settings(
    { defaults: { scheduler: 'fast' } },
    /^img2img\.json: defaults\.scheduler is "fast"; it must be one of ddim, /,
  ),
  settings({ tilte: 'x' }, /^img2img\.json: "tilte" is not known \(known: title, description, /),
  settings({ title: 5, turbo: 'yes' }, /title is 5; it must be a string; turbo is "yes"; it must be a boolean$/),
  settings({ defaults: [] }, /^img2img\.json: defaults is a list of 0; it must be an object$/),
  settings({ size: { native: 1e9 } }, /^img2img\.json: size\.native is 1000000000; it must be at most 4096$/),
  settings({ size: { native: 64, max: 32 } }, /^its sizes contradict each other: min 64, native 64, max 32$/),
  settings({ size: { multiple: 3 } }, /^sides are multiples of 3; for its VAE they must be multiples of 2$/),
  settings({ guidance_rescale: 2 }, /^img2img\.json: guidance_rescale is 2; it must be at most 1$/),
  scheduler({ num_train_timesteps: 1e9 }, /num_train_timesteps is 1000000000; it must be at most 10000$/),
  scheduler({ num_train_timesteps: '1000' }, /num_train_timesteps is "1000"; it must be an integer$/),
  scheduler({ beta_end: 2 }, /beta_end is 2; it must be below 1$/),
  scheduler({ beta_start: 0.5, beta_end: 0.1 }, /beta_start is 0\.5; it must be at most beta_end, which is 0\.1$/),
  scheduler({ trained_betas: Array(20_000).fill(0.1) }, /trained_betas is a list of 20000; it must have at most 10000/),
  scheduler({ steps_offset: 1000 }, /steps_offset is 1000; the model has 1000 timesteps$/),
  scheduler({ num_train_timesteps: 10 }, /^its defaults make no schedule: steps is 25; the model has 10 timesteps$/),
  config(
    'unet/config.json',
    { block_out_channels: Array(60).fill(8) },
    /block_out_channels is a list of 60; .* at most 8/,
  ),
  config(
    'unet/config.json',
    { sample_size: 1e9 },
    /^its native pictures would have sides of 2000000000 pixels; 1 to 4096/,
  ),
  config(
    'text_encoder/config.json',
    { max_position_embeddings: 1e9 },
    /max_position_embeddings is 1000000000; .* 4096$/,
  ),
  config('vae_decoder/config.json', { latents_mean: [1, 2] }, /^latents_mean of the VAE has 2 entries; .* 4 channels$/),
  config('vae_decoder/config.json', { scaling_factor: 0 }, /scaling_factor is 0; it must be above 0$/),
  config(
    'model_index.json',
    { _class_name: ['x'] },
    /^model_index\.json: _class_name is a list of 1; it must be a string$/,
  ),
  written('model_index.json', deep, /^the pipeline class unknown is not supported/, 'nested'),
  written(
    'unet/config.json',
    `"${'x'.repeat(2 ** 20)}"`,
    /^unet\/config\.json has 1048578 bytes; at most 1048576/,
    'large',
  ),
  written('scheduler/scheduler_config.json', '{"beta', /^scheduler\/scheduler_config\.json is not a JSON object$/),
  written('tokenizer/vocab.json', '{"a": 1', /^tokenizer\/vocab\.json is not a JSON object$/),
  graph(
    'a graph with a tail of zeros',
    (folder) => truncateSync(unet(folder), 4 * 2 ** 30),
    /^unet\/model\.onnx cannot be read: zeros follow byte \d+, as in a file that was not copied to its end$/,
  ),
  graph(
    'a graph of zeros',
    (folder) => {
      writeFileSync(unet(folder), '');
      truncateSync(unet(folder), 2 ** 30);
    },
    /zeros follow byte 0, /,
  ),
  graph(
    'a graph of countless parts',
    (folder) => {
      appendFileSync(unet(folder), Buffer.alloc(4 * 2 ** 20, Buffer.of(0x08, 0x01)));
    },
    /^unet\/model\.onnx cannot be read: it has more than 1000000 parts, as no graph has$/,
  ),
  graph(
    'a node of a gigabyte',
    (folder) => {
      writeFileSync(unet(folder), Buffer.of(0x3a, 0x85, 0x80, 0x80, 0x80, 0x04, 0x0a, 0xff, 0xff, 0xff, 0xff, 0x03));
      truncateSync(unet(folder), 2 ** 30 + 11);
    },
    /^unet\/model\.onnx cannot be read: its nodes take more than 268435456 bytes$/,
  ),
  graph('an opset of tomorrow', (folder) => appendFileSync(unet(folder), opset(27)), /it has opset 27; .* up to 26/),
  graph(
    'a format of tomorrow',
    (folder) => {
      appendFileSync(unet(folder), encodeMessage([varintField(1, 14)]));
    },
    /it has IR version 14; onnxruntime 1\.30 knows up to 13$/,
  ),
  graph(
    'operators of somebody',
    (folder) => {
      rewriteGraph(folder, 'unet', ({ nodes }) => {
        nodes.push({ ...node('Fancy', ['sample'], ['unused']), domain: 'my.ops' });
      });
    },
    /it has operators of my\.ops, which onnxruntime 1\.30 does not have$/,
  ),
  graph(
    'weights outside of the folder',
    (folder) => {
      renameSync(unet(folder), join(folder, 'weights'));
      moveWeights(join(folder, 'weights'), unet(folder), '../weights');
    },
    /^unet\/model\.onnx cannot be read: its weights "\.\.\/weights" would lie outside of its folder$/,
  ),
  graph(
    'weights in a FIFO',
    (folder) => {
      renameSync(unet(folder), join(folder, 'unet/weights'));
      moveWeights(join(folder, 'unet/weights'), unet(folder), 'weights');
      rmSync(join(folder, 'unet/weights'));
      spawnSync('mkfifo', [join(folder, 'unet/weights')]);
    },
    /^unet\/model\.onnx cannot be read: weights is a FIFO, not a file$/,
  ),
];

t.test('whatever lies in a folder, it is told in one sentence', async (t) => {
  for (const [i, { name, breaks, reason }] of cases.entries()) {
    const folder = writeFolder(parent, 'sd', {}, String(i));
    breaks(folder);
    t.throws(() => inspectModel(folder, 'cpu'), { message: reason }, name);
    rmSync(folder, { recursive: true });
  }
});

t.test('null counts as absent, keys that nobody reads may be anything, and infinities are read', async (t) => {
  const folder = writeFolder(parent, 'sd', {}, 'odd');
  change(folder, 'scheduler/scheduler_config.json', { trained_betas: null, variance_type: null, mine: { deep: [1] } });
  change(folder, 'unet/config.json', { time_cond_proj_dim: null, class_embed_type: { any: 'thing' } });
  const path = join(folder, 'scheduler/scheduler_config.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace('{', '{"lambda_min_clipped": -Infinity, '));
  t.notOk('mine' in inspectModel(folder, 'cpu').folder.schedulerConfig);
});

t.test('a folder is listed within bounds, links in circles included', async (t) => {
  const folder = join(parent, 'many');
  mkdirSync(join(folder, 'deep'), { recursive: true });
  symlinkSync('..', join(folder, 'deep/again'));
  symlinkSync('loop', join(folder, 'loop'));
  writeFileSync(join(folder, 'file'), 'x');
  t.match(stampFolder(folder), /^file \d+ 1 [\d.]+$/);
  for (let i = 0; i < 10_000; i++) writeFileSync(join(folder, `deep/${i}`), '');
  t.throws(() => stampFolder(folder), /^it holds more than 10000 files$/);
});
