// The safety checker, against diffusers' on pictures of which some are flagged: preprocessing to the byte, and verdicts.

import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import t from 'tap';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { flaggedOf } from '../../src/pipeline/safety/check-pictures.js';
import { preprocess } from '../../src/pipeline/safety/clip-image-processor.js';
import { isFlagged } from '../../src/pipeline/safety/verdict.js';
import type { Pixels } from '../../src/pixels.js';
import { reference } from './cases.js';
import { checkedFolder } from './checked-folder.js';

const parent = t.testdir();
const device = { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') } as const;
interface Case {
  readonly png: string;
  readonly pixel_values: string;
  readonly embeds: readonly number[];
  readonly flagged: boolean;
  /** diffusers' ONNX export does not round its scores. */
  readonly exported: boolean;
}
const { cases } = JSON.parse(readFileSync(reference('safety.json'), 'utf8')) as { cases: readonly Case[] };

async function pixelsOf({ png }: Case): Promise<Pixels> {
  const { data, info } = await sharp(Buffer.from(png, 'base64'))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}
const pictures = await Promise.all(cases.map(pixelsOf));

t.test('pictures reach the model exactly as CLIPImageProcessor makes them', async (t) => {
  const { safetyChecker } = readModelFolder(checkedFolder(join(parent, 'pixels')), 'cpu', undefined, {
    safety: 'flag',
  });
  for (const [i, { pixel_values }] of cases.entries()) {
    const { width, height } = pictures[i]!;
    const values = preprocess(pictures[i]!, safetyChecker!.processor);
    const digest = createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');
    t.equal(digest, pixel_values, `${width} x ${height}`);
  }
});

t.test("verdicts are diffusers'", async (t) => {
  const verdicts = (which: 'flagged' | 'exported') => cases.map((each) => each[which]);
  for (const which of ['flagged', 'exported'] as const) {
    t.ok(new Set(verdicts(which)).size === 2, 'some pictures are flagged, and some not');
    const path = checkedFolder(join(parent, which), which === 'exported' ? 'onnx' : 'safetensors');
    const model = await loadModel(path, device, undefined, 'flag');
    const { safetyChecker } = model.folder;
    t.strictSame(await flaggedOf(safetyChecker!, model.sessions.safety_checker!, pictures), verdicts(which), which);
    await releaseModel(model);
  }
  t.not(String(verdicts('flagged')), String(verdicts('exported')), 'one is within half a thousandth');
});

t.test('scores are rounded to thousandths, and special care adds a hundredth to each', (t) => {
  const across = (cosine: number) => Float32Array.of(cosine, Math.sqrt(1 - cosine ** 2));
  const concept = (cosine: number, threshold: number) => ({
    embeds: across(cosine),
    threshold: Math.fround(threshold),
  });
  const picture = Float32Array.of(3, 0);
  const cases: [string, number, number | undefined, boolean][] = [
    ['above its threshold', 0.3011, undefined, true],
    ['above by what rounds to nothing', 0.3004, undefined, false],
    ['below', 0.295, undefined, false],
    ['below by less than special care adds', 0.295, 0.2, true],
    ['below by more than special care adds', 0.285, 0.2, false],
    ['below, and nothing of special care is there', 0.295, 0.1, false],
  ];
  for (const [name, cosine, care, flagged] of cases) {
    const specialCare = care === undefined ? [] : [concept(care, 0.15)];
    t.equal(isFlagged(picture, { bad: [concept(-0.5, 0.3), concept(cosine, 0.3)], specialCare }), flagged, name);
  }
  t.notOk(isFlagged(picture, { bad: [], specialCare: [concept(1, 0)] }), 'special care flags nothing by itself');
  t.end();
});

t.test('off reads nothing of it, flag what there is, and block wants it', (t) => {
  const read = (path: string, safety: 'off' | 'flag' | 'block') => readModelFolder(path, 'cpu', undefined, { safety });
  const checked = checkedFolder(join(parent, 'modes'));
  const bare = reference('tiny');
  for (const safety of ['off', 'flag', 'block'] as const) {
    const { hasSafetyChecker, safetyChecker, graphs, parts } = read(checked, safety);
    t.equal(hasSafetyChecker, true);
    t.equal(safetyChecker !== undefined, safety !== 'off');
    t.equal('safety_checker' in graphs, safety !== 'off');
    t.equal(
      parts.some(({ part }) => part === 'safety_checker'),
      safety !== 'off',
    );
  }
  t.match(read(bare, 'off'), { hasSafetyChecker: false, safetyChecker: undefined });
  t.match(read(bare, 'flag'), { hasSafetyChecker: false, safetyChecker: undefined });
  t.throws(() => read(bare, 'block'), { message: 'it has no safety checker, and SAFETY_CHECKER is block' });
  t.end();
});

t.test('a checker that cannot be used has its sentence, and stops nothing while it is off', (t) => {
  const config = (change: object) => (path: string) => {
    const file = join(path, 'safety_checker', 'config.json');
    const json = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...json, vision_config: { ...json.vision_config, ...change } }));
  };
  const processor = (change: object) => (path: string) => {
    const file = join(path, 'feature_extractor', 'preprocessor_config.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
  };
  const cases: [string, (path: string) => void, RegExp][] = [
    [
      'a pickle',
      (path) => {
        rmSync(join(path, 'safety_checker', 'model.safetensors'));
        writeFileSync(join(path, 'safety_checker', 'pytorch_model.bin'), 'pickle');
      },
      /^safety_checker\/pytorch_model.bin is a pickle/,
    ],
    [
      'other weights',
      (path) => cpSync(reference('safety.json'), join(path, 'safety_checker', 'model.safetensors')),
      /^safety_checker\/model.safetensors cannot be read/,
    ],
    ['another width', config({ hidden_size: 64 }), /^safety_checker: its weights .* are \[32/],
    ['squares that do not fit', config({ patch_size: 5 }), /vision_config has image_size 32, which is no multiple/],
    ['an activation', config({ hidden_act: 'selu' }), /vision_config has hidden_act "selu"/],
    ['another kernel', processor({ resample: 2 }), /preprocessor_config.json has resample 2/],
    ['another size', processor({ crop_size: 28 }), /crop_size 28, which is not the 32 pixels that the model takes/],
    ['a size below the crop', processor({ size: 20 }), /has size 20, which is less than crop_size/],
    ['a mean of two', processor({ image_mean: [0, 1] }), /image_mean \[0,1\], which is not three numbers/],
    ['no spread', processor({ image_std: [0, 1, 1] }), /image_std \[0,1,1\], which is not three numbers above 0/],
  ];
  for (const [name, breakIt, reason] of cases) {
    const path = checkedFolder(join(parent, name.replaceAll(' ', '-')));
    breakIt(path);
    t.throws(() => readModelFolder(path, 'cpu', undefined, { safety: 'flag' }), { message: reason }, name);
    t.doesNotThrow(() => readModelFolder(path, 'cpu'), name);
  }
  const other = checkedFolder(join(parent, 'other-graph'), 'onnx');
  mkdirSync(join(other, 'safety_checker'), { recursive: true });
  cpSync(join(other, 'vae_encoder', 'model.onnx'), join(other, 'safety_checker', 'model.onnx'));
  t.throws(() => readModelFolder(other, 'cpu', undefined, { safety: 'flag' }), {
    message: 'safety_checker has no input clip_input',
  });
  t.end();
});

t.test("an image processor of the first versions, and none, are CLIP's", (t) => {
  const path = checkedFolder(join(parent, 'old'));
  const file = join(path, 'feature_extractor', 'preprocessor_config.json');
  const read = () => readModelFolder(path, 'cpu', undefined, { safety: 'flag' }).safetyChecker!.processor;
  const now = read();
  const old = { crop_size: 32, do_center_crop: true, do_normalize: true, do_resize: true, resample: 3, size: 32 };
  writeFileSync(file, JSON.stringify({ ...old, feature_extractor_type: 'CLIPFeatureExtractor' }));
  t.strictSame(read(), now);
  rmSync(file);
  t.strictSame(read(), now);
  t.end();
});
