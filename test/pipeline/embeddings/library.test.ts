import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { vectorsOf } from '../../../src/pipeline/embeddings/embedding-file.js';
import { EmbeddingLibrary } from '../../../src/pipeline/embeddings/library.js';
import { loadModel } from '../../../src/pipeline/model.js';
import { encodePrompts } from '../../../src/pipeline/prompts/prompts.js';
import { reference } from '../cases.js';
import { writeCheckpointFolder } from '../checkpoints.js';
import { type WrittenTensor, writeSafetensors } from '../safetensors/write.js';

const tensor = (shape: number[], value = 1, dtype = 'F32'): WrittenTensor => ({
  dtype: dtype as never,
  shape,
  data: new Uint8Array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value).buffer),
});
const options = { provider: 'cpu', threads: 1, cacheDir: join(t.testdir(), 'cache') } as const;

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

t.test('an exported text encoder takes none', async (t) => {
  const folder = t.testdir();
  writeSafetensors(join(folder, 'look.safetensors'), { emb_params: tensor([1, 16]) });
  const model = await loadModel(reference('tiny'), options, new EmbeddingLibrary(folder));
  const [[encoded] = []] = await encodePrompts(model, [[{ text: 'a look', syntax: 'plain', long: false }]]);
  t.strictSame(encoded!.named, { used: [], unfit: ['look'] });
});
