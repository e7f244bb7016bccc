// A tiny autoencoder beside a model's VAE: for previews, and in the VAE's place, against diffusers' decoding of the same latents.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { digestFolder } from '../../src/pipeline/folder/folder-digest.js';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { tinyPreviewOf } from '../../src/pipeline/preview.js';
import { decodeTiny } from '../../src/pipeline/vae.js';
import { generate, reference } from './cases.js';
import {
  type CheckpointFamily,
  checkpointCases,
  configsOf,
  differences,
  maskedRequest,
  tensorsOf,
  writeCheckpointFolder,
  writeSingleFile,
} from './checkpoints.js';
import { type WrittenTensor, writeSafetensors } from './safetensors/write.js';

const parent = t.testdir();
const { cases: decoded } = JSON.parse(readFileSync(reference('tiny_vae.json'), 'utf8')) as {
  cases: { family: CheckpointFamily; seed: number; pixels: string }[];
};
const tensors = tensorsOf('sd-taesd', 'vae', 'float32');
const tinyConfig = configsOf('sd-taesd')['vae/config.json'];

/** As the hub has it, config and all. */
function writeTinyFolder(path: string, change: object = {}): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...tinyConfig, ...change }));
  writeSafetensors(join(path, 'diffusion_pytorch_model.safetensors'), tensors);
}

/** Its decoder alone, by the names of the original. */
function writeOriginal(path: string, keep = (_name: string) => true): void {
  const own = Object.entries(tensors).flatMap(([name, tensor]): [string, WrittenTensor][] => {
    const [, layer, rest] = /^decoder\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
    return layer !== undefined && keep(name) ? [[`${Number(layer) + 1}.${rest}`, tensor]] : [];
  });
  writeSafetensors(path, Object.fromEntries(own));
}

const settings = (path: string, tiny_vae: unknown) =>
  writeFileSync(
    path.endsWith('.safetensors') ? path.replace('.safetensors', '.img2img.json') : join(path, 'img2img.json'),
    JSON.stringify(tiny_vae === undefined ? {} : { tiny_vae }),
  );
const load = (path: string) => loadModel(path, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
const caseOf = (family: CheckpointFamily, seed: number) => {
  const found = checkpointCases.find((c) => c.family === family && c.seed === seed && c.dtype === 'float32')!;
  return { ...found, pixels: decoded.find((c) => c.family === family && c.seed === seed)!.pixels };
};

const sd = writeCheckpointFolder(join(parent, 'sd'), 'sd');
writeTinyFolder(join(sd, 'vae_tiny'));
const xl = writeSingleFile(join(parent, 'xl.safetensors'), 'sdxl');
mkdirSync(join(parent, 'beside'));
writeOriginal(join(parent, 'beside/taesdxl_decoder.safetensors'));

t.test('it decodes as diffusers does with it, from a folder and from a file of the original', async (t) => {
  for (const [path, tiny, family, seed] of [
    [sd, { decode: true }, 'sd', 0],
    [xl, { path: 'beside/taesdxl_decoder.safetensors', decode: true }, 'sdxl', 1],
  ] as const) {
    settings(path, tiny);
    const model = await load(path);
    t.notOk(model.sessions.vae_decoder, 'the other decoder takes no memory');
    const c = caseOf(family, seed);
    const [made] = await generate(model, [maskedRequest(c)]);
    const all = differences(made!.pixels.data, c);
    const beyond = all.filter((difference) => difference > 1).length / all.length;
    t.ok(beyond <= 0.001, `${family}: ${(100 * beyond).toFixed(2)} % differ by more than 1`);
    await releaseModel(model);
  }
});

t.test(
  'without being told to decode it makes previews, of a quarter of the sides, and leaves pictures alone',
  async (t) => {
    settings(sd, undefined);
    const model = await load(sd);
    const [c] = checkpointCases.filter((one) => one.family === 'sd' && one.dtype === 'float32');
    const [made] = await generate(model, [maskedRequest(c!)]);
    t.ok(differences(made!.pixels.data, c!).filter((difference) => difference > 1).length < 10, "the VAE's picture");
    const { generation } = made!;
    const [, height, width] = generation.shape;
    const preview = await tinyPreviewOf(model, generation);
    t.match(preview, { width: 2 * width, height: 2 * height });
    const [whole] = await decodeTiny(model, [generation.latents], generation.shape);
    const square = [0, 1, 2, 3].flatMap((y) =>
      [0, 1, 2, 3].map((x) => whole!.data[3 * ((4 + y) * 8 * width + 8 + x)]!),
    );
    const mean = square.reduce((sum, each) => sum + each, 0) / square.length;
    t.equal(preview.data[3 * (2 * width + 2)], Math.round(mean), 'the mean of its square');
    await releaseModel(model);
  },
);

t.test('it is one of the parts, and of what the digest covers', async (t) => {
  settings(sd, undefined);
  const part = { part: 'tiny_decoder', format: 'safetensors', weights: ['fp32'], computes: 'fp32' };
  t.match(readModelFolder(sd, 'cpu').parts.at(-1), { ...part, file: 'vae_tiny/diffusion_pytorch_model.safetensors' });
  t.match(readModelFolder(sd, 'cuda').parts.at(-1), { computes: 'fp16' });
  settings(xl, { path: 'beside/taesdxl_decoder.safetensors' });
  t.match(
    readModelFolder(xl, 'cuda').parts.map(({ part, computes }) => `${part} ${computes}`),
    [
      'text_encoder fp16',
      'text_encoder_2 fp16',
      'unet fp16',
      'vae_encoder fp32',
      'vae_decoder fp32',
      'tiny_decoder fp16',
    ],
  );
  const before = await digestFolder(xl);
  settings(xl, { path: 'beside/other.safetensors' });
  writeOriginal(join(parent, 'beside/other.safetensors'), (name) => name !== 'decoder.layers.2.conv.0.bias');
  const [other, file] = [await digestFolder(xl), join(parent, 'beside/other.safetensors')];
  t.not(other, before);
  writeOriginal(file);
  t.not(await digestFolder(xl), other, 'a change of the file alone');
});

t.test('one that does not fit is refused with what is wrong', (t) => {
  writeTinyFolder(join(sd, 'sixteen'), { latent_channels: 16 });
  const first = tensors['decoder.layers.0.weight']!;
  const wide = { ...first, shape: [32, 16, 3, 3], data: new Uint8Array(4 * first.data.length) };
  writeSafetensors(join(sd, 'sixteen/diffusion_pytorch_model.safetensors'), {
    ...tensors,
    'decoder.layers.0.weight': wide,
  });
  writeTinyFolder(join(sd, 'full'), { _class_name: 'AutoencoderKL' });
  writeTinyFolder(join(sd, 'shallow'), { decoder_block_out_channels: [32, 32, 32], num_decoder_blocks: [2, 2, 1] });
  writeOriginal(join(sd, 'broken.safetensors'), (name) => name !== 'decoder.layers.5.weight');
  writeSafetensors(join(sd, 'lora.safetensors'), { a: first });
  writeFileSync(join(sd, 'taesd_decoder.pth'), '');
  const bare = writeCheckpointFolder(join(parent, 'bare'), 'lcm');
  const cases: [path: string, tiny: unknown, reason: RegExp][] = [
    [sd, { path: 'sixteen' }, /^sixteen takes latents of 16 channels, and the model's have 4$/],
    [sd, { path: 'full' }, /^full\/config\.json has the class "AutoencoderKL"; it must be AutoencoderTiny$/],
    [sd, { path: 'shallow' }, /^shallow: its weights decoder\.layers\./],
    [sd, { path: 'broken.safetensors' }, /^broken\.safetensors: its weights? /],
    [sd, { path: 'lora.safetensors' }, /^lora\.safetensors holds no decoder of a tiny autoencoder$/],
    [sd, { path: 'taesd_decoder.pth' }, /^taesd_decoder\.pth, the tiny autoencoder, is no \.safetensors$/],
    [sd, { path: 'nowhere' }, /^nowhere, the tiny autoencoder, is missing$/],
    [
      sd,
      { path: '../taesd/vae' },
      /^img2img\.json has tiny_vae\.path "\.\.\/taesd\/vae", which leads out of the model's folder$/,
    ],
    [sd, { path: '/etc' }, /which leads out of the model's folder$/],
    [sd, { path: 7 }, /^img2img\.json: tiny_vae\.path is 7; it must be a string$/],
    [sd, { decodes: true }, /^img2img\.json: "tiny_vae\.decodes" is not known \(known: path, decode\)$/],
    [sd, true, /^img2img\.json: tiny_vae is true; it must be an object$/],
    [
      bare,
      { decode: true },
      /^img2img\.json has tiny_vae, and neither its path nor a folder vae_tiny says where one is$/,
    ],
  ];
  for (const [path, tiny, reason] of cases) {
    settings(path, tiny);
    t.throws(() => readModelFolder(path, 'cpu'), { message: reason }, JSON.stringify(tiny));
  }
  rmSync(join(sd, 'img2img.json'));
  t.end();
});
