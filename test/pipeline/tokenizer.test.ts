import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { loadTokenizer, type PromptTokenizer } from '../../src/pipeline/tokenizer.js';
import { reference } from './cases.js';

interface Golden {
  readonly texts: readonly string[];
  readonly tokenizers: Readonly<Record<string, Case>>;
}
interface Case {
  /** Beside vocab.json and merges.txt. */
  readonly files: Readonly<Record<string, object>>;
  /** tokenizer.json as transformers writes it, without vocabulary and merges. */
  readonly definition: { readonly model: object };
  readonly pad: number;
  /** By text; of all tokenizers but the first only those that differ from the first's. */
  readonly ids: Readonly<Record<number, readonly number[]>>;
}

// Made by test/reference/tokenizer.py with transformers' CLIPTokenizerFast, on CLIP's own merges.
const golden: Golden = JSON.parse(readFileSync(reference('tokenizer.json'), 'utf8'));
const merges = readFileSync(fileURLToPath(new URL('../../assets/clip/merges.txt', import.meta.url)), 'utf8');
const [bos, eos] = [49406, 49407];
const root = t.testdir();

/** CLIP's, which follows from its merges: bytes, bytes at a word's end, what each merge makes, start and end. */
function vocabulary(): Record<string, number> {
  const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const printable = [...range(0x21, 0x7e), ...range(0xa1, 0xac), ...range(0xae, 0xff)];
  const symbols = [...printable, ...range(256, 511 - printable.length)].map((code) => String.fromCharCode(code));
  const merged = merges
    .split('\n')
    .slice(1)
    .filter((line) => line !== '')
    .map((line) => line.replace(' ', ''));
  const ends = ['<|startoftext|>', '<|endoftext|>'];
  const tokens = [...symbols, ...symbols.map((symbol) => `${symbol}</w>`), ...merged, ...ends];
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}
const vocab = vocabulary();

function write(name: string, files: Readonly<Record<string, object | string>>): string {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(join(folder, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

function wrong({ encode, frame, room }: PromptTokenizer, { pad, ids }: Case): string[] {
  const [first] = Object.values(golden.tokenizers);
  return golden.texts.filter((text, i) => {
    const all = ids[i] ?? first!.ids[i]!;
    const fit = all.slice(0, 75);
    const expected = [bos, ...fit, eos];
    while (expected.length < 77) expected.push(pad);
    const own = encode(text);
    return frame(own.slice(0, room)).join() !== expected.join() || own.length !== all.length;
  });
}

const sources: Record<string, (one: Case) => Record<string, object | string>> = {
  'vocab.json and merges.txt': () => ({ 'vocab.json': vocab, 'merges.txt': merges }),
  'the same with the line ends of Windows': () => ({
    'vocab.json': vocab,
    'merges.txt': merges.replaceAll('\n', '\r\n'),
  }),
  'tokenizer.json': ({ definition }) => {
    const pairs = merges
      .split('\n')
      .slice(1)
      .filter((line) => line !== '');
    return { 'tokenizer.json': { ...definition, model: { ...definition.model, vocab, merges: pairs } } };
  },
};

t.test("token ids are those of transformers' fast tokenizer, whatever the text", async (t) => {
  t.ok(golden.texts.length >= 2000);
  for (const [name, one] of Object.entries(golden.tokenizers)) {
    for (const [source, files] of Object.entries(sources)) {
      const folder = write(`${name} from ${source}`, { ...one.files, ...files(one) });
      const bad = wrong(loadTokenizer(folder, 77), one);
      t.strictSame(bad, [], `${name}, from ${source}`);
    }
  }
});

t.test('where the padding token is a character, it is that character’s id wherever it stands', async (t) => {
  const { encode, frame } = loadTokenizer(join(root, 'sd2 from tokenizer.json'), 77);
  t.strictSame(frame(encode('!')).slice(0, 4), [bos, 0, eos, 0]);
});

t.test('a tokenizer that cannot be read says which of its files is at fault', async (t) => {
  const good = { 'vocab.json': vocab, 'merges.txt': merges };
  const added = (token: object) => ({ ...good, 'tokenizer_config.json': { added_tokens_decoder: token } });
  for (const [name, files, reason] of [
    ['cut', { ...good, 'vocab.json': JSON.stringify(vocab).slice(0, 999) }, /vocab\.json is not a JSON object$/],
    ['list', { 'tokenizer.json': '[]' }, /tokenizer\.json is not a JSON object$/],
    ['empty', { 'tokenizer.json': '{}' }, /holds no tokenizer that can be read: /],
    ['words', { ...good, 'vocab.json': { a: 'b' } }, /holds no tokenizer that can be read: /],
    ['no merges', { ...good, 'merges.txt': '' }, /holds no tokenizer that can be read: it has no merges/],
    ['no merges.txt', { 'vocab.json': vocab }, /has neither tokenizer\.json nor vocab\.json with merges\.txt$/],
    ['pad', { ...good, 'special_tokens_map.json': { pad_token: '<pad>' } }, /has no token "<pad>"$/],
    [
      'lfs',
      { ...good, 'vocab.json': 'version https://git-lfs.github.com/spec/v1\n' },
      /vocab\.json is a Git LFS pointer/,
    ],
    ['id', added({ many: { content: 'x' } }), /added token of the tokenizer is "x" with the id null$/],
    [
      'short',
      { ...good, 'tokenizer_config.json': { model_max_length: 2 } },
      /model_max_length is 2; it must be at least 3$/,
    ],
  ] as [string, Record<string, object | string>, RegExp][]) {
    t.throws(() => loadTokenizer(write(name, files), 77), { message: reason }, name);
  }
});
