import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { canShareCall, decode, denoise, type Generation, isDone, prepare } from '../../src/pipeline/img2img.js';
import { loadModel, type Model, releaseModel } from '../../src/pipeline/model.js';
import { generate as generateAll, reference, requestOf, type Case as SharedCase } from './cases.js';
import { type FamilyName, families, node, rewriteGraph, type Variant, writeFolder } from './folders.js';

interface Case extends SharedCase {
  family: FamilyName;
  rescale: number;
}
// Made by test/reference/families.py with diffusers and optimum-onnx.
const { cases } = JSON.parse(readFileSync(reference('families.json'), 'utf8')) as { cases: Case[] };
const parent = t.testdir();
const cacheDir = join(parent, 'cache');
const load = (folder: string) => loadModel(folder, { provider: 'cpu', threads: 1, cacheDir });

const variants: Record<string, Variant> = {
  'scalar timestep (optimum-onnx)': {},
  '[1] timestep': { timestep: 'one' },
  '[batch] timestep, int32 ids': { timestep: 'batch', ids: 'int32' },
  'latent_sample, int32 ids': { encoder: 'latent_sample', ids: 'int32' },
  'scalar timestep, external data': { weights: 'external' },
  '[1] timestep, latent_sample, external data': { timestep: 'one', encoder: 'latent_sample', weights: 'external' },
};

async function generate(model: Model, request: Img2ImgRequest): Promise<{ data: Uint8Array; generation: Generation }> {
  const [{ pixels, generation } = {} as never] = await generateAll(model, [request]);
  return { data: pixels.data, generation };
}

function difference(pixels: Uint8Array, base64: string) {
  const expected = Buffer.from(base64, 'base64');
  if (expected.length !== pixels.length) throw new Error(`${pixels.length} samples instead of ${expected.length}`);
  const differences = pixels.map((value, i) => Math.abs(value - expected[i]!));
  return {
    largest: differences.reduce((a, b) => Math.max(a, b), 0),
    /** Share of the samples that differ by more than one. */
    beyondOne: differences.filter((one) => one > 1).length / differences.length,
    mean: differences.reduce((sum, one) => sum + one, 0) / differences.length,
  };
}

const figures: string[] = [];
for (const family of families) {
  t.test(`${family}: same seed, starter and prompt give diffusers' picture, whatever the exporter`, async (t) => {
    for (const [name, variant] of Object.entries(variants)) {
      const folder = writeFolder(parent, family, variant, `${family}-${Object.keys(variants).indexOf(name)}`);
      let worst = { largest: 0, beyondOne: 0 };
      const chosen = cases.filter((c) => c.family === family);
      for (const rescale of new Set(chosen.map((c) => c.rescale))) {
        writeFileSync(join(folder, 'img2img.json'), JSON.stringify({ guidance_rescale: rescale }));
        const model = await load(folder);
        t.equal(model.folder.kind, family);
        for (const c of chosen.filter((one) => one.rescale === rescale)) {
          const { data, generation } = await generate(model, requestOf(c));
          const { largest, beyondOne } = difference(data, c.pixels);
          const told = `${name}: ${c.scheduler}, ${c.steps} steps at ${c.strength}, guidance ${c.guidance}, ${c.width} x ${c.height}`;
          t.ok(
            beyondOne <= 0.001,
            `${told}: ${(100 * beyondOne).toFixed(2)} % differ by more than 1, at most by ${largest}`,
          );
          t.notOk(generation.drawUnseeded, told);
          worst = { largest: Math.max(worst.largest, largest), beyondOne: Math.max(worst.beyondOne, beyondOne) };
        }
        await releaseModel(model);
      }
      figures.push(
        `| ${family} | ${name} | ${chosen.length} | ${worst.largest} | ${(100 * worst.beyondOne).toFixed(3)} % |`,
      );
    }
  });
}

t.test('the prompt and the negative prompt change the picture, beyond what the comparison allows', async (t) => {
  for (const family of families) {
    const model = await load(join(parent, `${family}-0`));
    const request = requestOf(cases.find((c) => c.family === family && c.guidance > 1)!);
    const { data } = await generate(model, { ...request, strength: 1 });
    for (const change of [
      { prompt: 'blue, blue ink' },
      { negativePrompt: 'red red red' },
      { guidanceScale: 2.5 },
      { seed: 99 },
    ]) {
      const other = await generate(model, { ...request, strength: 1, ...change });
      const beyond = difference(other.data, Buffer.from(data).toString('base64')).beyondOne;
      const unused = family === 'lcm' && 'negativePrompt' in change;
      t.ok(unused ? beyond === 0 : beyond > 0.001, `${family} ${JSON.stringify(change)}: ${beyond}`);
    }
    await releaseModel(model);
  }
});

t.test('fp16 weights, inputs and outputs come near the fp32 picture', async (t) => {
  for (const family of families) {
    for (const [i, more] of [{}, { timestep: 'batch' } as const].entries()) {
      const folder = writeFolder(parent, family, { precision: 'fp16', ...more }, `${family}-half-${i}`);
      const model = await load(folder);
      t.match(model.folder, { precision: 'fp32', parts: [{ weights: ['fp16'] }] });
      for (const c of cases.filter((one) => one.family === family && one.rescale === 0)) {
        const { data } = await generate(model, requestOf(c));
        const { mean } = difference(data, c.pixels);
        t.ok(mean < 2, `${family}, ${c.scheduler}: a sample is off by ${mean.toFixed(2)} on average`);
      }
      await releaseModel(model);
    }
  }
});

t.test('int64 timesteps are cut, as diffusers hands them over', async (t) => {
  const folder = writeFolder(parent, 'sd', { timestep: 'batch', timestepType: 'int64' }, 'sd-int64');
  const model = await load(folder);
  t.equal(model.folder.exporter, 'optimum before 1.24');
  for (const c of cases.filter(
    ({ family, scheduler }) => family === 'sd' && ['ddim', 'dpmpp_2m', 'pndm'].includes(scheduler),
  )) {
    const { data } = await generate(model, requestOf(c));
    t.ok(difference(data, c.pixels).beyondOne <= 0.001, c.scheduler);
  }
  await releaseModel(model);
});

t.test('requests that share calls give the same bytes as alone, on patched graphs too', async (t) => {
  for (const family of families) {
    for (const place of [0, 1, 2, 3]) {
      const model = await load(join(parent, `${family}-${place}`));
      const same = cases.filter(({ family: own, width, height }) => own === family && width === 32 && height === 32);
      const requests = same.map(requestOf);
      const alone: Uint8Array[] = [];
      for (const request of requests) alone.push((await generate(model, request)).data);
      const together = await prepare(model, requests);
      t.ok(together.every((other) => canShareCall(model, together[0]!, other)));
      for (;;) {
        const running = together.filter((generation) => !isDone(generation));
        if (running.length === 0) break;
        await denoise(model, running);
      }
      const pictures = await decode(model, together);
      t.strictSame(
        pictures.map(({ data }) => data),
        alone,
        `${family} ${Object.keys(variants)[place]}`,
      );
      await releaseModel(model);
    }
  }
});

t.test(
  'a graph that cannot be patched shares calls of equal timesteps only, and says that its draw is not seeded',
  async (t) => {
    const folder = writeFolder(parent, 'sd', { encoder: 'latent_sample' }, 'unpatchable');
    rewriteGraph(folder, 'unet', ({ nodes }) => {
      nodes.unshift(node('Identity', ['timestep'], ['unused'])); // a second way that the timestep goes
    });
    rewriteGraph(folder, 'vae_encoder', ({ nodes }) => {
      nodes.push(node('RandomNormalLike', ['mean'], ['unused'])); // which of the two is the draw?
    });
    const model = await load(folder);
    const c = cases.find(({ family, scheduler }) => family === 'sd' && scheduler === 'ddim')!;
    const generations = await prepare(model, [
      requestOf(c),
      requestOf({ ...c, seed: 5 }),
      requestOf({ ...c, steps: 7 }),
    ]);
    t.ok(canShareCall(model, generations[0]!, generations[1]!));
    t.notOk(canShareCall(model, generations[0]!, generations[2]!));
    const { generation } = await generate(model, requestOf(c));
    t.ok(generation.drawUnseeded);
    await releaseModel(model);
  },
);

t.test('patched graphs lie in the cache without weights, and the model folder is left alone', async (t) => {
  const folder = join(parent, 'sd-3');
  t.strictSame(readdirSync(join(folder, 'unet')).sort(), ['config.json', 'model.onnx']);
  const sizes = readdirSync(cacheDir).map((name) => readFileSync(join(cacheDir, name)).length);
  t.ok(sizes.length > 0 && sizes.every((size) => size < 450_000), sizes.join(', '));
  const model = await loadModel(folder, { provider: 'cpu', threads: 1, cacheDir: join(folder, 'model_index.json') });
  const c = cases.find(({ family }) => family === 'sd')!;
  t.ok(
    (await generate(model, requestOf(c))).generation.drawUnseeded,
    'a cache that cannot be written costs the patch only',
  );
  await releaseModel(model);
});

t.test('the table of figures has a line for each family and export', async (t) => {
  const table = [
    '| family | export | pictures | largest difference | samples beyond 1/255 in the worst picture |',
    '| --- | --- | --- | --- | --- |',
    ...figures,
  ].join('\n');
  const readme = reference('README.md');
  if (process.env.WRITE_FIGURES) {
    const text = readFileSync(readme, 'utf8');
    writeFileSync(
      readme,
      text.replace(/<!-- figures -->[\s\S]*<!-- end -->/, `<!-- figures -->\n\n${table}\n\n<!-- end -->`),
    );
  }
  const committed = readFileSync(readme, 'utf8');
  for (const line of figures) t.ok(committed.includes(line.split('|').slice(1, 4).join('|')), line);
  t.ok(cases.length >= 40, `${cases.length} combinations`);
});

t.test('folders are told apart without loading them', async (t) => {
  const of = (name: string) => readModelFolder(join(parent, name), 'cpu');
  t.match(of('sd-0'), { kind: 'sd', exporter: 'optimum-onnx', precision: 'fp32', encoderGives: 'latent_parameters' });
  t.match(of('sd-0'), {
    vaeScale: 2,
    size: { native: 32, multiple: 4, min: 32, max: 64 },
    defaults: { guidance: 7.5, scheduler: 'ddim' },
  });
  t.match(of('sdxl-0'), { kind: 'sdxl', zerosForEmptyPrompt: true, latentScale: { mean: [0.1, -0.2, 0.3, 0] } });
  t.match(of('sdxl-0').textEncoders, [
    { component: 'text_encoder', output: 'hidden_states.2' },
    { component: 'text_encoder_2', output: 'hidden_states.2', pooled: 'text_embeds' },
  ]);
  t.match(of('sdxl-refiner-0'), { kind: 'sdxl-refiner', wantsAestheticScore: true, defaults: { guidance: 5 } });
  t.match(of('lcm-0'), { kind: 'lcm', guidanceWidth: 32, defaults: { guidance: 8.5, steps: 4, scheduler: 'lcm' } });
});
