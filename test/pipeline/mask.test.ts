import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { loadModel, type Model } from '../../src/pipeline/model.js';
import { latentMask, restoreStarter } from '../../src/pipeline/numbers/mask.js';
import { type SchedulerConfig, stableDiffusionConfig } from '../../src/pipeline/schedulers/schedule.js';
import type { Pixels } from '../../src/pixels.js';
import { generate as generateAll, reference, type Case as SharedCase, requestOf as unmasked } from './cases.js';

interface Case extends SharedCase {
  readonly channels: 4 | 9;
  readonly config: SchedulerConfig;
  readonly box: [left: number, top: number, right: number, bottom: number];
}
// Made by test/reference/mask.py with diffusers, on the same random weights.
const { cases } = JSON.parse(readFileSync(reference('mask.json'), 'utf8')) as { cases: Case[] };
const device = { provider: 'cpu', threads: 1, cacheDir: t.testdir() } as const;

// The inpainting folder is tiny/ with another UNet.
const inpaintFolder = mkdtempSync(join(tmpdir(), 'img2img-inpaint-'));
for (const entry of readdirSync(reference('tiny'))) {
  symlinkSync(reference(entry === 'unet' ? 'tiny-inpaint/unet' : `tiny/${entry}`), join(inpaintFolder, entry));
}
t.teardown(() => rmSync(inpaintFolder, { recursive: true }));
const models: Record<4 | 9, Model> = {
  4: await loadModel(reference('tiny'), device),
  9: await loadModel(inpaintFolder, device),
};

function boxMask({ width, height, box: [left, top, right, bottom] }: Case): Uint8Array {
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return x >= left && x < right && y >= top && y < bottom ? 255 : 0;
  });
}

const requestOf = (c: Case): Img2ImgRequest => ({ ...unmasked(c), mask: boxMask(c) });

const generate = async (model: Model, requests: readonly Img2ImgRequest[]): Promise<Pixels[]> =>
  (await generateAll(model, requests)).map(({ pixels }) => pixels);

t.test("inside of the mask is the picture of diffusers' inpainting pipeline, outside is the starter", async (t) => {
  for (const c of cases) {
    const name = `${c.channels} channels, ${c.scheduler} ${JSON.stringify(c.config)}, ${c.steps} steps at ${c.strength}, guidance ${c.guidance}`;
    const request = requestOf(c);
    const expected = Buffer.from(c.pixels, 'base64');
    const model = models[c.channels];
    const schedulerConfig = stableDiffusionConfig({ ...model.folder.schedulerConfig, ...c.config });
    const [{ data } = {} as Pixels] = await generate({ ...model, folder: { ...model.folder, schedulerConfig } }, [
      request,
    ]);
    let inside = 0;
    let off = 0;
    let changed = 0;
    for (let i = 0; i < data.length; i++) {
      if (request.mask![Math.floor(i / 3)] === 0) {
        if (data[i] !== request.pixels.data[i]) changed++;
        continue;
      }
      inside++;
      if (Math.abs(data[i]! - expected[i]!) > 1) off++;
    }
    t.equal(changed, 0, `${name}: outside`);
    t.ok(off / inside <= 0.001, `${name}: ${off} of ${inside} samples differ by more than 1`);
  }
});

t.test('an inpainting UNet repaints everything when there is no mask', async (t) => {
  const c = cases.find(({ channels }) => channels === 9)!;
  const white = new Uint8Array(c.width * c.height).fill(255);
  const [without] = await generate(models[9], [{ ...requestOf(c), mask: undefined }]);
  const [all] = await generate(models[9], [{ ...requestOf(c), mask: white }]);
  t.strictSame(without!.data, all!.data);
});

t.test('masked and unmasked requests share calls and give the same bytes as alone', async (t) => {
  for (const channels of [4, 9] as const) {
    const request = requestOf(cases.find((c) => c.channels === channels && c.width === 32)!);
    const requests = [request, { ...request, mask: undefined }, { ...request, seed: 77 }];
    const together = await generate(models[channels], requests);
    for (const [i, one] of requests.entries()) {
      const [alone] = await generate(models[channels], [one]);
      t.strictSame(together[i]!.data, alone!.data, `${channels} channels, request ${i}`);
    }
  }
});

t.test('every scheduler leaves the starter where the mask is black, at every strength', async (t) => {
  const { fittingSchedulers } = await import('../../src/pipeline/schedulers/index.js');
  const base = requestOf(cases[0]!);
  for (const scheduler of fittingSchedulers({})) {
    for (const strength of [0, 0.5, 1]) {
      const [{ data } = {} as Pixels] = await generate(models[4], [{ ...base, scheduler, strength, steps: 6 }]);
      const changed = data.filter((value, i) => base.mask![Math.floor(i / 3)] === 0 && value !== base.pixels.data[i]);
      const repainted = data.filter(
        (value, i) => base.mask![Math.floor(i / 3)] === 255 && value !== base.pixels.data[i],
      );
      t.equal(changed.length, 0, `${scheduler} at ${strength}: outside`);
      t.ok(repainted.length > 0, `${scheduler} at ${strength}: inside`);
    }
  }
});

t.test('a latent takes the whitest of its pixels, a pixel the mix that the mask says', async (t) => {
  t.strictSame([...latentMask(Uint8Array.of(255, 255, 0, 51, 255, 255, 0, 0), 4, 2)], [1, Math.fround(0.2)]);
  const white = { data: new Uint8Array(9).fill(200), width: 3, height: 1 };
  const black = { data: new Uint8Array(9).fill(100), width: 3, height: 1 };
  const { data } = restoreStarter(white, black, Uint8Array.of(0, 51, 255));
  t.strictSame([...data], [100, 100, 100, 120, 120, 120, 200, 200, 200]);
});
