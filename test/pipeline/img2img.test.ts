import { readFileSync } from 'node:fs';
import t from 'tap';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { canShareCall, decode, denoise, type Generation, isDone, prepare, rowsOf } from '../../src/pipeline/img2img.js';
import { loadModel } from '../../src/pipeline/model.js';
import { chunksOf } from '../../src/pipeline/prompts/chunks.js';
import { type SchedulerConfig, stableDiffusionConfig } from '../../src/pipeline/schedulers/schedule.js';
import type { Pixels } from '../../src/pixels.js';
import { plainPieces } from '../../src/prompt-syntax.js';
import { generate as generateAll, reference, requestOf, type Case as SharedCase } from './cases.js';

interface Case extends SharedCase {
  readonly config: SchedulerConfig;
  readonly ids: number[];
}
// Made by test/reference/pipeline.py with diffusers, on the same random weights.
const { cases } = JSON.parse(readFileSync(reference('pipeline.json'), 'utf8')) as { cases: Case[] };
const model = await loadModel(reference('tiny'), { provider: 'cpu', threads: 1, cacheDir: t.testdir() });

const prepareOne = async (request: Img2ImgRequest, of = model): Promise<Generation> =>
  (await prepare(of, [request]))[0]!;

async function generate(request: Img2ImgRequest, of = model): Promise<{ pixels: Pixels; unetCalls: number }> {
  const [{ pixels, generation } = {} as never] = await generateAll(of, [request]);
  return { pixels, unetCalls: generation.unetCalls };
}

t.test("same seed, starter and prompt give diffusers' picture", async (t) => {
  t.ok(cases.length > 40);
  for (const c of cases) {
    const schedulerConfig = stableDiffusionConfig({ ...model.folder.schedulerConfig, ...c.config });
    const name = `${c.scheduler} ${JSON.stringify(c.config)}, ${c.steps} steps at ${c.strength}, guidance ${c.guidance}, ${c.width} x ${c.height}`;
    const expected = Buffer.from(c.pixels, 'base64');
    const { pixels } = await generate(requestOf(c), { ...model, folder: { ...model.folder, schedulerConfig } });
    t.equal(pixels.data.length, expected.length, name);
    const off = pixels.data.filter((value, i) => Math.abs(value - expected[i]!) > 1).length / expected.length;
    const largest = Math.max(...pixels.data.map((value, i) => Math.abs(value - expected[i]!)));
    t.ok(
      off <= 0.001,
      `${name}: ${(100 * off).toFixed(2)} % of the samples differ by more than 1, at most by ${largest}`,
    );
  }
});

t.test("token ids are those of transformers' CLIPTokenizer", async (t) => {
  const tokens = (text: string) => chunksOf(plainPieces(text), model.tokenizers.tokenizer!, false);
  for (const { prompt, ids } of cases) t.strictSame(tokens(prompt).chunks[0]!.ids, ids, prompt);
  t.equal(tokens('red '.repeat(20)).dropped, 6);
  t.equal(tokens('red').dropped, 0);
});

t.test('a strength that comes to no step gives the VAE round trip, whatever prompt and seed', async (t) => {
  const base = requestOf(cases[0]!);
  const roundTrip = await generate({ ...base, strength: 0 });
  t.equal(roundTrip.unetCalls, 0);
  for (const change of [{ seed: 99 }, { prompt: 'other' }, { strength: 0.04, steps: 20 }, { guidanceScale: 13 }]) {
    const other = await generate({ ...base, strength: 0, ...change });
    t.strictSame(other.pixels.data, roundTrip.pixels.data, JSON.stringify(change));
  }
});

t.test('at or below guidance 1 a request takes one row, above it two', async (t) => {
  const base = requestOf(cases[0]!);
  for (const [guidanceScale, rows] of [
    [0, 1],
    [1, 1],
    [1.01, 2],
  ] as const) {
    t.equal(rowsOf(await prepareOne({ ...base, guidanceScale })), rows, String(guidanceScale));
  }
});

t.test('a prompt that came before is not encoded again', async (t) => {
  const base = { ...requestOf(cases[0]!), prompt: 'seen before', negativePrompt: 'unseen', guidanceScale: 5 };
  await prepareOne({ ...base, guidanceScale: 1 });
  const { hits, misses } = model.promptCache;
  const before = model.sessions.text_encoder!.runMs;
  await prepareOne({ ...base, guidanceScale: 1 });
  t.equal(model.sessions.text_encoder!.runMs, before, 'no run');
  await prepareOne(base);
  t.strictSame([model.promptCache.hits - hits, model.promptCache.misses - misses], [2, 1]);
});

t.test('a starter is encoded once, whatever prompts and seeds come with it', async (t) => {
  const base = requestOf(cases[0]!);
  const request = { ...base, pixels: { ...base.pixels, data: base.pixels.data.map((value) => 255 - value) } };
  const { vae_encoder } = model.sessions;
  const runs = t.capture(vae_encoder, 'run', vae_encoder.run);
  const rowsOfRuns = () => runs().map(({ args: [inputs] }) => Object.values(inputs)[0]!.dims[0]);
  await prepare(model, [request, { ...request, seed: 8 }]);
  t.strictSame(rowsOfRuns(), [1], 'equal ones together');
  const first = await generate(request);
  const another = await generate({ ...request, prompt: 'another', seed: 9 });
  t.strictSame(rowsOfRuns(), [], 'later ones');
  t.notSame(another.pixels.data, first.pixels.data);
  const elsewhere = await loadModel(reference('tiny'), { provider: 'cpu', threads: 1, cacheDir: t.testdir() });
  t.strictSame(
    (await generate(request, elsewhere)).pixels.data,
    first.pixels.data,
    'as from a model that never saw it',
  );
  const { data } = request.pixels;
  await prepareOne({ ...request, pixels: { ...request.pixels, data: data.with(data.length - 1, 77) } });
  t.strictSame(rowsOfRuns(), [1], 'one value differs');
});

t.test('requests that share calls give the same bytes as alone, whatever rows the calls have', async (t) => {
  const requests = cases.filter(({ width, height }) => width === 32 && height === 32).map(requestOf);
  const alone = [];
  for (const request of requests) alone.push((await generate(request)).pixels.data);
  for (const rowsPerCall of [undefined, 1, 3, 64]) {
    const together = await prepare(model, requests);
    t.ok(together.every((other) => canShareCall(model, together[0]!, other)));
    for (;;) {
      const running = together.filter((generation) => !isDone(generation));
      if (running.length === 0) break;
      await denoise(model, running, rowsPerCall);
    }
    for (const [i, { data }] of (await decode(model, together)).entries()) {
      t.strictSame(data, alone[i], `request ${i + 1} of ${together.length}, rows of a call: ${rowsPerCall ?? 'all'}`);
    }
  }
  const [first] = await prepare(model, requests);
  const wide = await prepareOne(requestOf(cases.find(({ width }) => width === 64)!));
  t.notOk(canShareCall(model, first!, wide));
});
