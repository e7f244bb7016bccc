// `inspect` and `list`: what is decided about a model, and what decided it.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { decisionsOf } from '../../src/pipeline/folder/decisions.js';
import { openSource, readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { writeSingleFile } from '../pipeline/checkpoints.js';
import { writeHeader, writeSafetensors } from '../pipeline/safetensors/write.js';
import { models } from './run.js';

const parent = t.testdir({ models: {} });
const modelsDir = join(parent, 'models');
const whole = readFileSync(writeSingleFile(join(parent, 'whole.safetensors'), 'sd', 'float16'));
const headerLength = Number(whole.readBigUInt64LE());
const header = JSON.parse(whole.toString('utf8', 8, 8 + headerLength));
const end = whole.length - 8 - headerLength;

interface Given {
  readonly name?: string;
  readonly metadata?: Record<string, string>;
  /** Names of tensors without elements. */
  readonly keys?: readonly string[];
  readonly settings?: object;
}

function write({ name = 'dream', metadata, keys = [], settings }: Given): string {
  rmSync(modelsDir, { recursive: true });
  mkdirSync(modelsDir);
  const marks = keys.map((key) => [key, { dtype: 'F32', shape: [0], data_offsets: [end, end] }]);
  const text = JSON.stringify({ ...(metadata && { __metadata__: metadata }), ...header, ...Object.fromEntries(marks) });
  writeHeader(join(modelsDir, `${name}.safetensors`), text, whole.subarray(8 + headerLength));
  if (settings) writeFileSync(join(modelsDir, `${name}.img2img.json`), JSON.stringify(settings));
  return name;
}

const own = 'dream.img2img.json';
const byFamily = 'the default of sd1';
const cases: [what: string, given: Given, decision: string, value: unknown, from: string][] = [
  ['nothing', {}, 'prediction type', 'epsilon', byFamily],
  ['a key', { keys: ['v_pred'] }, 'prediction type', 'v_prediction', 'the key v_pred'],
  [
    'an architecture before a key',
    { keys: ['v_pred'], metadata: { 'modelspec.architecture': 'stable-diffusion-v2-512' } },
    'prediction type',
    'epsilon',
    'metadata modelspec.architecture',
  ],
  [
    'metadata before an architecture',
    { metadata: { 'modelspec.architecture': 'stable-diffusion-v2-512', 'modelspec.prediction_type': 'v' } },
    'prediction type',
    'v_prediction',
    'metadata modelspec.prediction_type',
  ],
  [
    'settings before metadata',
    { metadata: { 'modelspec.prediction_type': 'v' }, settings: { prediction_type: 'epsilon' } },
    'prediction type',
    'epsilon',
    own,
  ],
  ['no zero SNR', {}, 'zero terminal SNR', false, 'the default of diffusers'],
  ['a key for zero SNR', { keys: ['ztsnr'] }, 'zero terminal SNR', true, 'the key ztsnr'],
  [
    'settings for zero SNR',
    { keys: ['ztsnr'], settings: { zero_snr: false } },
    'zero terminal SNR',
    false,
    'the default of diffusers',
  ],
  ['settings for zero SNR', { settings: { zero_snr: true } }, 'zero terminal SNR', true, own],
  ['no scheduler', {}, 'scheduler', 'pndm', byFamily],
  ['a turbo by name', { name: 'turbo' }, 'scheduler', 'euler', "turbo, as the file's name says"],
  [
    'a turbo by title',
    { metadata: { 'modelspec.title': 'A Turbo' } },
    'scheduler',
    'euler',
    'turbo, as metadata modelspec.title says',
  ],
  ['a turbo by title', { metadata: { 'modelspec.title': 'A Turbo' } }, 'turbo', true, 'metadata modelspec.title'],
  ['a turbo by settings', { settings: { turbo: true } }, 'turbo', true, own],
  ['a scheduler by name', { settings: { scheduler: 'ddim' } }, 'scheduler', 'ddim', own],
  ['a scheduler by class', { settings: { scheduler: { _class_name: 'DDIMScheduler' } } }, 'scheduler', 'ddim', own],
  ['no size', {}, 'native size', 512, byFamily],
  [
    'a size in metadata',
    { metadata: { 'modelspec.resolution': '768x768' } },
    'native size',
    768,
    'metadata modelspec.resolution',
  ],
  ['an odd size in metadata', { metadata: { 'modelspec.resolution': '7x768' } }, 'native size', 512, byFamily],
  ['a size in settings', { settings: { size: { native: 640 } } }, 'native size', 640, own],
  ['the family', {}, 'kind', 'sd', 'the keys cond_stage_model.transformer.…'],
  ['the tokenizer', {}, 'tokenizer', "CLIP's, padded with <|endoftext|>", 'assets/clip'],
  ['no guidance', {}, 'guidance', 7.5, 'the default of sd'],
  ['a guidance', { settings: { defaults: { guidance: 3 } } }, 'guidance', 3, own],
  ['a licence', { metadata: { 'modelspec.license': 'MIT' } }, 'license', 'MIT', 'metadata modelspec.license'],
];

t.test('of a file each decision says what decided it, and the first that speaks does', async (t) => {
  for (const [what, given, decision, value, from] of cases) {
    const path = join(modelsDir, `${write(given)}.safetensors`);
    const source = openSource(path);
    const decisions = decisionsOf(source, readModelFolder(path, 'cpu', source));
    t.strictSame(
      decisions.find((each) => each.what === decision),
      { what: decision, value, from },
      what,
    );
  }
});

t.test('people read the same', async (t) => {
  const name = write({ metadata: { 'modelspec.title': 'Dream' } });
  const { printed } = await models(['inspect', name], { modelsDir });
  t.match(printed, /^dream: \S+ MB on the disk, \S+ MB of weights in memory\n/);
  t.match(printed, /\nprediction type +epsilon +the default of sd1\n/);
  t.match(printed, /\ntitle +Dream +metadata modelspec\.title\n/);
  t.match(printed, /\nunet +safetensors +dream\.safetensors +fp16 +fp32 +the default on a CPU\n/);
  const onGpu = await models(['inspect', name, '--device', 'cuda'], { modelsDir });
  t.match(onGpu.printed, /\nvae_decoder +safetensors +dream\.safetensors +fp16 +fp16 +the default on a GPU(\n|$)/);
});

t.test('a folder names its files', async (t) => {
  const paintbox = fileURLToPath(new URL('../../models/paintbox', import.meta.url));
  const { printed } = await models(['inspect', paintbox, '--json'], { modelsDir });
  const { decisions, parts } = JSON.parse(printed);
  t.match(decisions, [
    { what: 'layout', value: "a folder in diffusers' layout" },
    { what: 'kind', value: 'sd-v', from: 'model_index.json' },
  ]);
  t.match(
    decisions.find((each: { what: string }) => each.what === 'prediction type'),
    {
      value: 'v_prediction',
      from: 'scheduler/scheduler_config.json',
    },
  );
  t.match(parts[0], {
    ...{ part: 'text_encoder', format: 'onnx', file: 'text_encoder/model.onnx', weights: ['fp16'] },
    ...{ computes: 'fp32', computesFrom: 'its graph' }, // it casts them
  });
});

t.test('what cannot run says why', async (t) => {
  write({ settings: { prediction_type: 'x' } });
  writeFileSync(join(modelsDir, 'old.ckpt'), 'PK');
  const data = new Uint8Array(4);
  writeSafetensors(join(modelsDir, 'style.safetensors'), {
    'lora_unet.lora_up.weight': { dtype: 'F32', shape: [1], data },
  });
  for (const [name, reason] of [
    ['dream', /dream\.safetensors cannot run: dream\.img2img\.json: prediction_type is "x"/],
    ['old.ckpt', /old\.ckpt cannot run: old\.ckpt is a pickle/],
    ['style', /style\.safetensors cannot run: it is a LoRA/],
  ] as const) {
    const { status, told } = await models(['inspect', name], { modelsDir });
    t.equal(status, 1);
    t.match(told, reason);
  }
  const { printed } = await models(['list'], { modelsDir });
  t.match(
    printed,
    /^NAME +KIND +SIZE +SOURCE +STATE\ndream +- +21\.\d MB +does not run: dream\.img2img\.json: .*\nold\.ckpt +- +2 bytes +does not run: .*\nstyle +- +\d+ bytes +does not run: it is a LoRA/,
  );
  const json = await models(['list', '--json'], { modelsDir });
  t.match(JSON.parse(json.printed), {
    models: [{ name: 'dream', runnable: false, reason: /prediction_type/ }, {}, {}],
  });
});

t.test('a MODELS_DIR without models is told', async (t) => {
  const { status, told } = await models(['list'], { modelsDir: join(parent, 'nowhere') });
  t.equal(status, 1);
  t.match(told, /^models: MODELS_DIR .*nowhere does not exist$/);
});
