// Weighted and long prompts against the numbers of test/reference/prompts.py.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Img2ImgRequest } from '../../../src/img2img-request.js';
import { EmbeddingLibrary } from '../../../src/pipeline/embeddings/library.js';
import { embeddingFinder } from '../../../src/pipeline/embeddings/names.js';
import { canShareCall, type Generation, prepare } from '../../../src/pipeline/img2img.js';
import { loadModel, type Model } from '../../../src/pipeline/model.js';
import { chunksOf } from '../../../src/pipeline/prompts/chunks.js';
import type { EncodedPrompt } from '../../../src/pipeline/prompts/encoded-prompt.js';
import { encodePrompts, type Prompt } from '../../../src/pipeline/prompts/prompts.js';
import { RecentValues } from '../../../src/pipeline/recent-values.js';
import { type PromptSyntax, parsePrompt, plainPieces } from '../../../src/prompt-syntax.js';
import { generate, type Case as PictureCase, reference, requestOf } from '../cases.js';
import { type CheckpointFamily, values, writeCheckpointFolder } from '../checkpoints.js';
import { type WrittenTensor, writeSafetensors } from '../safetensors/write.js';

interface Case {
  readonly family: CheckpointFamily;
  readonly syntax: PromptSyntax;
  readonly long: boolean;
  readonly prompt: string;
  readonly dropped: number;
  /** Without start, end and padding. */
  readonly chunks?: readonly (readonly [ids: number[], weights: number[]])[];
  readonly shape: readonly number[];
  /** Every so many of the numbers. */
  readonly embeds: readonly number[];
  readonly pooled?: readonly number[];
}
const { every, cases } = JSON.parse(readFileSync(reference('prompts.json'), 'utf8')) as {
  every: number;
  cases: Case[];
};
const parent = t.testdir();
const options = { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') } as const;
const tiny = await loadModel(reference('tiny'), options);

const vectors = (name: string, role: string, count: number, width: number): WrittenTensor => {
  const shape = [count, width];
  return { dtype: 'F32', shape, data: new Uint8Array(values(`${name} ${role}`, shape).buffer) };
};

/** Textual inversions as prompts.py has them, each in another layout. */
function library(family: 'sd' | 'sdxl'): EmbeddingLibrary {
  const folder = join(parent, `${family} embeddings`);
  mkdirSync(folder);
  for (const [name, count, key] of [
    ['paint-look', 3, 'emb_params'],
    ['Paint-look two', 2, '<paint-look-two>'],
  ] as const) {
    const both = { clip_l: vectors(name, 'clip_l', count, 64), clip_g: vectors(name, 'clip_g', count, 128) };
    writeSafetensors(
      join(folder, `${name}.safetensors`),
      family === 'sdxl' ? both : { [key]: vectors(name, 'only', count, 128) },
    );
  }
  return new EmbeddingLibrary(folder);
}

/** The largest difference to every so many of the numbers. */
const off = (data: ArrayLike<number>, expected: readonly number[], every: number) =>
  Math.max(...expected.map((value, i) => Math.abs(value - data[i * every]!)));

for (const family of ['sd', 'sdxl'] as const) {
  t.test(`${family}: weighted and long prompts come to the web UI's embeddings`, async (t) => {
    const model = await loadModel(writeCheckpointFolder(join(parent, family), family), options, library(family));
    const own = cases.filter((c) => c.family === family);
    t.ok(own.length >= 30);
    for (const c of own) {
      const { prompt: text, syntax, long, chunks, dropped, shape } = c;
      const name = `${syntax} ${long ? 'long' : 'short'}: ${text.slice(0, 60)}`;
      const [[encoded] = []] = await encodePrompts(model, [[{ text, syntax, long }]]);
      t.strictSame([encoded!.embeds.dims, encoded!.dropped], [shape, dropped], name);
      t.equal(Math.ceil((shape[0]! * shape[1]!) / every), c.embeds.length);
      t.ok(off(encoded!.embeds.data, c.embeds, every) < 1e-4, name);
      if (c.pooled) t.ok(off(encoded!.pooled!.data, c.pooled, 13) < 1e-4, `pooled, ${name}`);
      if (!chunks) continue;
      const pieces = syntax === 'plain' ? plainPieces(text) : parsePrompt(text).pieces;
      const tokenizer = model.tokenizers.tokenizer!;
      const ours = chunksOf(pieces, tokenizer, long, embeddingFinder(model.embeddings!, tokenizer)).chunks;
      const expected = chunks.map(([ids, weights]) => framed(model, ids, weights));
      t.strictSame(ours.map(rounded), expected.map(rounded), `tokens, ${name}`);
    }
  });
}

function framed({ tokenizers }: Model, ids: number[], weights: number[]) {
  const all = tokenizers.tokenizer!.frame(ids);
  return { ids: all, weights: all.map((_, i) => weights[i - 1] ?? 1) };
}

const rounded = ({ ids, weights }: { ids: readonly number[]; weights: readonly number[] }) => ({
  ids,
  weights: weights.map((weight) => weight.toFixed(6)),
});

const base = requestOf(
  (JSON.parse(readFileSync(reference('pipeline.json'), 'utf8')) as { cases: PictureCase[] }).cases[0]!,
);
const long = { ...base, promptSyntax: 'weighted', longPrompts: true } as const;
const words = (count: number) => 'red '.repeat(count);
const lengths = (generations: readonly Generation[]) =>
  generations.map(({ conditions }) => conditions.map(({ prompt }) => prompt.embeds.dims[0]));

t.test('both prompts of a picture are as long as the longer one, which the empty text goes on with', async (t) => {
  const requests = [
    { ...long, prompt: words(40), negativePrompt: 'blue' },
    { ...long, prompt: 'blue', negativePrompt: words(20) },
    { ...long, prompt: 'blue', negativePrompt: '' },
    { ...base, prompt: words(40), negativePrompt: 'blue' },
    { ...long, prompt: words(40), negativePrompt: 'blue', guidanceScale: 1 },
  ];
  const generations = await prepare(tiny, requests);
  t.strictSame(lengths(generations), [[48, 48], [32, 32], [16, 16], [16, 16], [48]]); // biome-ignore format: one line
  t.strictSame(
    generations.map(({ droppedTokens }) => droppedTokens.prompt),
    [0, 0, 0, 26, 0],
  );
  const plain = (text: string): Prompt => ({ text, syntax: 'plain', long: false });
  const [[blue, empty] = []] = await encodePrompts(tiny, [[plain('blue'), plain('')]]);
  const [negative] = generations[0]!.conditions;
  t.strictSame(
    Array.from(negative!.prompt.embeds.data),
    [blue!, empty!, empty!].flatMap(({ embeds }) => Array.from(embeds.data)),
  );
});

t.test('without weights and within the limit both syntaxes and lengths give the same bytes', async (t) => {
  const prompt = 'a red glass, blue ink';
  const picture = async (change: Partial<Img2ImgRequest>) =>
    (await generate(tiny, [{ ...base, prompt, ...change }]))[0]!.pixels.data;
  const plain = await picture({});
  for (const change of [
    { promptSyntax: 'plain' },
    { promptSyntax: 'weighted' },
    { longPrompts: true },
    { promptSyntax: 'weighted', longPrompts: true },
  ] as const) {
    t.strictSame(await picture(change), plain, JSON.stringify(change));
  }
  t.notSame(await picture({ promptSyntax: 'weighted', prompt: 'a (red:1.5) glass, blue ink' }), plain);
});

t.test('a picture is the same alone and beside others, whatever the lengths of their prompts', async (t) => {
  const requests = [
    { ...long, prompt: `(${words(20)}:1.3) blue`, seed: 1 },
    { ...long, prompt: 'blue (ink:1.5)', seed: 2 },
    { ...base, prompt: 'blue (ink:1.5)', seed: 3 },
    { ...long, prompt: words(100), negativePrompt: 'glass BREAK ink', seed: 4 },
    { ...long, prompt: 'glass', negativePrompt: words(20), seed: 5 },
  ];
  const together = await prepare(tiny, requests);
  t.strictSame(
    together.map((other) => canShareCall(tiny, together[0]!, other)),
    [true, false, false, false, true],
  );
  const groups = [[0, 4], [1, 2], [3]]; // biome-ignore format: one line
  for (const group of groups) {
    const made = await generate(
      tiny,
      group.map((i) => requests[i]!),
    );
    for (const [place, i] of group.entries()) {
      const [alone] = await generate(tiny, [requests[i]!]);
      t.strictSame(made[place]!.pixels.data, alone!.pixels.data, `request ${i}`);
    }
  }
});

t.test('a graph that takes one length cuts long prompts, and says how much', async (t) => {
  const unet = tiny.sessions.unet!;
  const fixed = new Proxy(unet, {
    get: (target, name) =>
      name === 'shapeOf'
        ? (input: string) => (input === 'encoder_hidden_states' ? [2, 16, 16] : target.shapeOf(input))
        : Reflect.get(target, name, target),
  });
  const model = {
    ...tiny,
    promptCache: new RecentValues<EncodedPrompt>(0),
    starterCache: new RecentValues<Float32Array>(0),
    sessions: { ...tiny.sessions, unet: fixed },
  };
  const [generation] = await prepare(model, [{ ...long, prompt: `${words(10)} BREAK ${words(10)}` }]);
  t.strictSame([lengths([generation!]), generation!.droppedTokens.prompt], [[[16, 16]], 6]);
});

t.test("a prompt's embeddings are the same alone and beside others, pooled ones too", async (t) => {
  const prompts = ['a red glass', 'blue ink', '', words(12)].map(
    (text) => ({ text, syntax: 'plain', long: false }) as const,
  );
  for (const type of ['float32', 'float16', 'bfloat16'] as const) {
    const folder = writeCheckpointFolder(join(parent, `alone-${type}`), 'sdxl', type);
    const model = { ...(await loadModel(folder, options)), promptCache: new RecentValues<EncodedPrompt>(0) };
    const together = (await encodePrompts(model, [prompts]))[0]!;
    for (const [i, prompt] of prompts.entries()) {
      const [[alone] = []] = await encodePrompts(model, [[prompt]]);
      t.strictSame(alone!.embeds.data, together[i]!.embeds.data, `${type}: ${prompt.text}`);
      t.strictSame(alone!.pooled!.data, together[i]!.pooled!.data, `${type}, pooled: ${prompt.text}`);
    }
  }
});
