import { closeSync, mkdirSync, openSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { vectorsOf } from '../../../src/pipeline/embeddings/embedding-file.js';
import { fits } from '../../../src/pipeline/embeddings/fit.js';
import { EmbeddingLibrary } from '../../../src/pipeline/embeddings/library.js';
import { loadModel } from '../../../src/pipeline/model.js';
import { type Bytes, fieldsOf, read, text, wholeFile } from '../../../src/pipeline/onnx/wire.js';
import { encodePrompts } from '../../../src/pipeline/prompts/prompts.js';
import { reference } from '../cases.js';
import { writeCheckpointFolder } from '../checkpoints.js';
import { writeFolder } from '../folders.js';
import { type WrittenTensor, writeSafetensors } from '../safetensors/write.js';

const tensor = (shape: number[], value = 1, dtype = 'F32'): WrittenTensor => ({
  dtype: dtype as never,
  shape,
  data: new Uint8Array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value).buffer),
});
const parent = t.testdir();
const options = { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') } as const;

t.test('each layout is listed with its vectors and widths', async (t) => {
  const folder = t.testdir();
  for (const [name, tensors, vectors, widths] of [
    ['a1111', { emb_params: tensor([3, 768]) }, 3, [768]],
    ['diffusers', { '<cat>': tensor([1024]) }, 1, [1024]],
    ['diffusers many', { '<cat>': tensor([2, 768]) }, 2, [768]],
    ['sdxl', { clip_l: tensor([2, 768]), clip_g: tensor([2, 1280]) }, 2, [768, 1280]],
    ['with more', { emb_params: tensor([1, 768]), step: tensor([1]) }, 1, [768]],
  ] as [string, Record<string, WrittenTensor>, number, number[]][]) {
    writeSafetensors(join(folder, `${name}.safetensors`), tensors);
    const library = new EmbeddingLibrary(folder);
    library.look();
    t.strictSame(
      library.list.find((each) => each.name === name),
      { name, runnable: true, vectors, widths },
    );
    const [place] = library.embeddings.find((each) => each.name === name)!.places.values();
    t.ok(vectorsOf(place!.tensor).every((value) => value === 1));
  }
});

t.test('what cannot be used is listed with the reason, and never opened where it leads elsewhere', async (t) => {
  const root = t.testdir({ outside: {}, embeddings: {} });
  const folder = join(root, 'embeddings');
  const one = { emb_params: tensor([1, 8]) };
  writeSafetensors(join(root, 'outside/secret.safetensors'), one);
  writeSafetensors(join(folder, '.half.safetensors'), one);
  mkdirSync(join(folder, 'folder.safetensors'));
  writeFileSync(join(folder, 'notes.txt'), 'notes');
  for (const [file, make, reason] of [
    ['old.pt', (path) => writeFileSync(path, 'PK'), /^it is a pickle/],
    ['old.bin', (path) => writeFileSync(path, 'PK'), /^it is a pickle/],
    ['a,b.safetensors', (path) => writeSafetensors(path, one), /^its name must be of at most 100 letters/],
    [`${'n'.repeat(101)}.safetensors`, (path) => writeSafetensors(path, one), /^its name must be of at most 100/],
    ['link.safetensors', (path) => symlinkSync('../outside/secret.safetensors', path), /^it is a link that leaves/],
    ['gone.safetensors', (path) => symlinkSync('nowhere', path), /^it is no file, or a link that leads nowhere/],
    ['empty.safetensors', (path) => writeFileSync(path, ''), /^the file has 0 bytes/],
    [
      'large.safetensors',
      (path) => writeFileSync(path, Buffer.alloc(4 * 2 ** 20 + 1)),
      /^it has 4194305 bytes; at most/,
    ],
    [
      'header.safetensors',
      (path) => writeFileSync(path, Buffer.alloc(99, 7)),
      /^its header says that it takes \d+ bytes/,
    ],
    ['two.safetensors', (path) => writeSafetensors(path, { a: tensor([2]), b: tensor([2]) }), /^it is no textual inv/],
    [
      'cube.safetensors',
      (path) => writeSafetensors(path, { a: tensor([2, 2, 2]) }),
      /^its emb_params is \[2,2,2\]; it/,
    ],
    [
      'many.safetensors',
      (path) => writeSafetensors(path, { a: tensor([76, 2]) }),
      /^its emb_params has 76 vectors; at/,
    ],
    [
      'none.safetensors',
      (path) => writeSafetensors(path, { a: tensor([0, 8]) }),
      /^its emb_params is \[0,8\]; it must/,
    ],
    [
      'whole.safetensors',
      (path) => writeSafetensors(path, { a: tensor([2, 8], 1, 'I32') }),
      /^its emb_params is I32, w/,
    ],
    [
      'odd.safetensors',
      (path) => writeSafetensors(path, { clip_l: tensor([1, 8]), clip_g: tensor([2, 8]) }),
      /^its clip_l and clip_g have different numbers of vectors/,
    ],
  ] as [string, (path: string) => void, RegExp][]) {
    make(join(folder, file));
    const library = new EmbeddingLibrary(folder);
    library.look();
    const name = file.replace(/\.safetensors$/, '');
    t.match(
      library.list.find((each) => each.name === name),
      { runnable: false, reason },
      file,
    );
    t.strictSame(library.embeddings, [], 'nothing beside it is one');
  }
  const missing = new EmbeddingLibrary(join(root, 'missing'));
  t.strictSame([missing.look(), missing.list], [false, []]);
});

t.test('files are noticed as they come, change and go, and a prompt is encoded anew', async (t) => {
  const root = t.testdir({ embeddings: {} });
  const folder = join(root, 'embeddings');
  const path = join(folder, 'look.safetensors');
  const library = new EmbeddingLibrary(folder);
  const model = await loadModel(writeCheckpointFolder(join(root, 'sd'), 'sd'), options, library);
  const encode = async () => {
    const [[encoded] = []] = await encodePrompts(model, [[{ text: 'a Look', syntax: 'plain', long: false }]]);
    return { bytes: Buffer.from((encoded!.embeds.data as Float32Array).slice().buffer), named: encoded!.named };
  };
  const words = await encode();
  t.strictSame(words.named, { used: [], unfit: [] });
  writeSafetensors(path, { emb_params: tensor([1, 128], 1) });
  const first = await encode();
  t.strictSame(first.named, { used: ['look'], unfit: [] });
  t.notOk(first.bytes.equals(words.bytes));
  t.ok((await encode()).bytes.equals(first.bytes));
  writeSafetensors(path, { emb_params: tensor([1, 128], 2) });
  utimesSync(path, new Date(), new Date(Date.now() + 5000));
  t.notOk((await encode()).bytes.equals(first.bytes), 'another file');
  writeSafetensors(path, { emb_params: tensor([1, 64], 1) });
  const unfit = await encode();
  t.strictSame([unfit.named, unfit.bytes.equals(words.bytes)], [{ used: [], unfit: ['look'] }, true], 'words again');
  t.equal(library.look(), false, 'nothing new');
});

/** The table of the vocabulary in an exported text encoder. */
function tableIn(path: string): Float32Array {
  const file = openSync(path, 'r');
  const inside = (bytes: Bytes, number: number) => [...fieldsOf(bytes)].filter((field) => field.number === number);
  const [graph] = inside(wholeFile(file), 7);
  const tensor = inside(graph!.bytes, 5).find(({ bytes }) =>
    text(inside(bytes, 8)[0]!.bytes).endsWith('token_embedding.weight'),
  );
  const raw = read(inside(tensor!.bytes, 9)[0]!.bytes);
  closeSync(file);
  return new Float32Array(raw.slice().buffer);
}

for (const [name, path, tokenizers] of [
  ['tiny', reference('tiny'), ['tokenizer']],
  ['sdxl', writeFolder(parent, 'sdxl'), ['tokenizer', 'tokenizer_2']],
] as const) {
  t.test(`${name}: an exported text encoder takes a word's own vectors for the word`, async (t) => {
    const folder = t.testdir({ embeddings: {} });
    const library = new EmbeddingLibrary(folder);
    const model = await loadModel(path, options, library);
    const rows = tokenizers.map((tokenizer) => {
      const table = tableIn(join(path, tokenizer.replace('tokenizer', 'text_encoder'), 'model.onnx'));
      const width = Number(
        model.sessions[tokenizer.replace('tokenizer', 'text_encoder') as 'text_encoder']!.shapeOf('token_vectors')[2],
      );
      const [id] = model.tokenizers[tokenizer]!.encode('red');
      const data = new Uint8Array(table.slice(id! * width, (id! + 1) * width).buffer);
      return { dtype: 'F32', shape: [1, width], data };
    });
    const [first, second] = rows;
    const tensors = second ? { clip_l: first!, clip_g: second } : { emb_params: first! };
    writeSafetensors(join(folder, 'look.safetensors'), tensors);
    const encode = async (text: string) =>
      (await encodePrompts(model, [[{ text, syntax: 'plain', long: false }]]))[0]![0]!;
    const [look, red, other] = [await encode('a look'), await encode('a red'), await encode('a blue')];
    t.strictSame(look.named, { used: ['look'], unfit: [] });
    t.strictSame(look.embeds.data, red.embeds.data);
    t.strictSame(look.pooled?.data, red.pooled?.data);
    t.notSame(look.embeds.data, other.embeds.data);
  });
}

t.test('what has another width, too many vectors or no place in the graph is read as words', async (t) => {
  const folder = t.testdir();
  for (const [name, shape] of [
    ['wide', [1, 17]],
    ['many', [15, 16]],
    ['look', [14, 16]],
  ] as const) {
    writeSafetensors(join(folder, `${name}.safetensors`), { emb_params: tensor([...shape]) });
  }
  const model = await loadModel(reference('tiny'), options, new EmbeddingLibrary(folder));
  const prompts = [[{ text: 'wide many look', syntax: 'plain', long: true }]] as const;
  const [[encoded] = []] = await encodePrompts(model, prompts);
  t.strictSame(encoded!.named, { used: ['look'], unfit: ['wide', 'many'] });
  const encoder = new Proxy(model.sessions.text_encoder!, {
    get: (target, name) => (name === 'takes' ? () => false : Reflect.get(target, name, target)),
  });
  const without = { ...model, sessions: { ...model.sessions, text_encoder: encoder } };
  t.ok(!fits(without, model.embeddings!.embeddings.find(({ name }) => name === 'look')!));
});
