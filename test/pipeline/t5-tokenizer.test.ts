import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { precompiledNormalizer } from '../../src/pipeline/precompiled-normalizer.js';
import { loadT5Tokenizer } from '../../src/pipeline/t5-tokenizer.js';
import { golden, json } from './stable-diffusion-3.js';

const root = t.testdir();

t.test("texts become the ids that transformers' T5TokenizerFast gives them", async (t) => {
  json(root, 'tokenizer_3/tokenizer.json', golden.tokenizer);
  const { encode, frame, room } = loadT5Tokenizer(join(root, 'tokenizer_3'), 256);
  const wrong = golden.texts.filter(([text, ids]) => encode(text).join() !== ids.join());
  t.ok(golden.texts.length > 3000);
  t.strictSame(
    wrong.slice(0, 20).map(([text, ids]) => ({ text, ids, own: encode(text) })),
    [],
    `${wrong.length} of ${golden.texts.length}`,
  );
  for (const [text, ids] of Object.entries(golden.framed)) {
    t.strictSame(frame(encode(text).slice(0, room)), ids, text.slice(0, 40));
  }
});

t.test('a folder without a tokenizer of its kind is refused with one sentence', async (t) => {
  const definition = golden.tokenizer as { model: object; normalizer: { normalizers: object[] } };
  const cases: Readonly<Record<string, readonly [files: Readonly<Record<string, object | string>>, reason: RegExp]>> = {
    nothing: [{ 'other.txt': '' }, /^nothing\/ has no tokenizer\.json$/],
    'spiece.model alone': [{ 'spiece.model': 'x' }, /has no tokenizer\.json, and spiece\.model alone is not read/],
    'of another kind': [{ 'tokenizer.json': { model: { type: 'BPE', vocab: {}, merges: [] } } }, /it is no Unigram$/],
    'without its end token': [
      {
        'tokenizer.json': {
          ...definition,
          model: {
            ...definition.model,
            vocab: [
              ['<pad>', 0],
              ['<unk>', 0],
            ],
            unk_id: 1,
          },
        },
      },
      /has no token <\/s>$/,
    ],
    'with a broken table': [
      { 'tokenizer.json': { ...definition, normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } } },
      /precompiled_charsmap is no table of characters$/,
    ],
  };
  for (const [name, [files, reason]] of Object.entries(cases)) {
    const folder = join(root, name);
    mkdirSync(folder, { recursive: true });
    for (const [file, content] of Object.entries(files)) {
      writeFileSync(join(folder, file), typeof content === 'string' ? content : JSON.stringify(content));
    }
    t.throws(() => loadT5Tokenizer(folder, 256), { message: reason }, name);
  }
});

t.test('a table of characters whose trie leads nowhere is read without an end', async (t) => {
  const trie = Buffer.alloc(4 + 4 * 8);
  trie.writeUInt32LE(4 * 8, 0);
  for (let i = 0; i < 8; i++) trie.writeUInt32LE(0xffffffff >>> i, 4 + 4 * i);
  t.type(precompiledNormalizer(trie.toString('base64'))('a red glass'), 'string');
});
