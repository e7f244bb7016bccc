// `export`: the written graphs with their weights, as a folder that runs by itself.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { generate, requestOf } from '../pipeline/cases.js';
import {
  type CheckpointFamily,
  checkpointCases,
  writeCheckpointFolder,
  writeSingleFile,
} from '../pipeline/checkpoints.js';
import { models } from './run.js';

const parent = t.testdir({ models: {} });
const modelsDir = join(parent, 'models');
const paintbox = fileURLToPath(new URL('../../models/paintbox', import.meta.url));

async function picture(path: string, family: CheckpointFamily): Promise<Uint8Array> {
  const model = await loadModel(path, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
  const cost = ({ width, height, steps }: (typeof checkpointCases)[number]) => width * height * steps;
  const [cheapest] = checkpointCases.filter((each) => each.family === family).sort((a, b) => cost(a) - cost(b));
  const [made] = await generate(model, [requestOf(cheapest!)]);
  await releaseModel(model);
  return made!.pixels.data;
}

const sources: [what: string, family: CheckpointFamily, write: () => string][] = [
  ['a file', 'sd', () => writeSingleFile(join(modelsDir, 'file.safetensors'), 'sd', 'float16')],
  [
    'a file that edits',
    'instruct-pix2pix',
    () => writeSingleFile(join(modelsDir, 'e.safetensors'), 'instruct-pix2pix'),
  ],
  ['a folder', 'sdxl', () => writeCheckpointFolder(join(modelsDir, 'folder'), 'sdxl', 'bfloat16')],
  ['a folder with a tiny autoencoder', 'sd-taesd', () => writeCheckpointFolder(join(modelsDir, 'tiny'), 'sd-taesd')],
];

t.test('an exported folder makes the pictures of its checkpoint, without it', async (t) => {
  for (const [what, family, write] of sources) {
    const path = write();
    const before = await picture(path, family);
    const out = join(parent, 'out');
    const { status, told } = await models(['export', path, out], { modelsDir });
    t.equal(status, 0, told);
    rmSync(path, { recursive: true });
    t.ok(Buffer.from(await picture(out, family)).equals(Buffer.from(before)), what);
    t.strictSame(readdirSync(join(out, 'unet')).sort(), ['config.json', 'model.onnx', 'model.onnx_data']);
    rmSync(out, { recursive: true });
  }
});

t.test('a folder that is ONNX in part keeps that part; what followed from a name is written down', async (t) => {
  const path = writeCheckpointFolder(join(modelsDir, 'a-turbo'), 'sd');
  const first = join(parent, 'first');
  await models(['export', path, first], { modelsDir });
  t.match(JSON.parse(readFileSync(join(first, 'img2img.json'), 'utf8')), { turbo: true });
  rmSync(join(path, 'unet'), { recursive: true });
  mkdirSync(join(path, 'unet'));
  for (const name of readdirSync(join(first, 'unet'))) {
    writeFileSync(join(path, 'unet', name), readFileSync(join(first, 'unet', name)));
  }
  const second = join(parent, 'second');
  const { status, told } = await models(['export', path, second], { modelsDir });
  t.equal(status, 0, told);
  for (const file of ['unet/model.onnx', 'unet/model.onnx_data', 'vae_decoder/model.onnx_data']) {
    t.ok(readFileSync(join(second, file)).equals(readFileSync(join(first, file))), file);
  }
});

t.test('what cannot be exported says why, and leaves nothing', async (t) => {
  const path = writeSingleFile(join(modelsDir, 'file.safetensors'), 'sd', 'float16');
  const out = join(parent, 'none');
  const stop = new AbortController();
  stop.abort(new Error('stopped'));
  const cases: [string[], RegExp, object?][] = [
    [[paintbox, out], /paintbox is an ONNX folder already/],
    [[path, parent], /OUT .* is there already; it is not written over/],
    [[path, join(out, 'a/b')], /would lie in a folder that is not there/],
    [[path, out], /21\.\d MB are to be written, and the disk has 1 MB free/, { freeBytes: () => 1e6 }],
    [[path, out], /stopped/, { signal: stop.signal }],
  ];
  for (const [args, says, given] of cases) {
    const { status, told } = await models(['export', ...args], { modelsDir, ...given });
    t.equal(status, 1);
    t.match(told, says);
    t.notOk(existsSync(out));
    t.strictSame(
      readdirSync(parent).filter((name) => name.startsWith('.')),
      [],
    );
  }
});
