import { readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { dtypeBytes, readHeader } from '../../../src/pipeline/safetensors/header.js';
import { writeHeader, writeSafetensors } from './write.js';

const folder = t.testdir();
const path = join(folder, 'a.safetensors');
const data = (length: number) => Uint8Array.from({ length }, (_, i) => i);
const entry = (begin: number, end: number, more = {}) =>
  JSON.stringify({ dtype: 'U8', shape: [end - begin], data_offsets: [begin, end], ...more });

t.test('a header tells each tensor, its place in the file, and the metadata', async (t) => {
  const tensors = {
    a: { dtype: 'F32', shape: [2, 3], data: data(24) },
    nothing: { dtype: 'F16', shape: [0, 4], data: data(0) },
    scalar: { dtype: 'BF16', shape: [], data: data(2) },
  };
  writeSafetensors(path, tensors, { 'modelspec.title': 'A' });
  symlinkSync(path, join(folder, 'link.safetensors'));
  for (const name of ['a', 'link']) {
    const header = readHeader(join(folder, `${name}.safetensors`));
    t.strictSame([...header.metadata], [['modelspec.title', 'A']]);
    t.strictSame([...header.tensors.keys()].sort(), Object.keys(tensors).sort());
    for (const [tensor, { dtype, shape, data: bytes }] of Object.entries(tensors)) {
      const place = header.tensors.get(tensor)!;
      t.match(place, { dtype, shape, length: bytes.length });
      t.equal(place.file, path, 'the file behind a link');
      t.strictSame(
        new Uint8Array(readFileSync(place.file)).subarray(place.offset, place.offset + place.length),
        bytes,
        tensor,
      );
    }
  }
});

const refused: Record<string, { write(): void; reason: RegExp }> = {
  'an empty file': { write: () => writeFileSync(path, ''), reason: /^the file has 0 bytes, which is too short/ },
  'a header of a terabyte': {
    write: () => writeHeader(path, '{}', data(0), 2n ** 40n),
    reason: /^its header says that it takes 1099511627776 bytes; at most 100000000 are read$/,
  },
  'a header longer than any number': {
    write: () => writeHeader(path, '{}', data(0), 2n ** 64n - 1n),
    reason: /^its header says that it takes 18446744073709551615 bytes; at most/,
  },
  'a header that ends after the file': {
    write: () => writeHeader(path, '{}', data(0), 1000n),
    reason: /^its header says that it takes 1000 bytes, and the file has 10$/,
  },
  'no JSON': { write: () => writeHeader(path, '{"a"'), reason: /^its header is not JSON$/ },
  'JSON nested a million times': {
    write: () => writeHeader(path, '['.repeat(1_000_000)),
    reason: /^its header is not JSON$/,
  },
  'a list': { write: () => writeHeader(path, '[]'), reason: /^its header is not a JSON object$/ },
  'bytes that are no text': {
    write: () => writeHeader(path, Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)),
    reason: /^its header is not JSON$/,
  },
  'space before the header': { write: () => writeHeader(path, ' {}'), reason: /^its header is not a JSON object$/ },
  'a tensor that is a number': { write: () => writeHeader(path, '{"a":1}'), reason: /^its header has a that is not/ },
  'a tensor named twice': {
    write: () => writeHeader(path, `{"a":${entry(0, 4)},"a":${entry(0, 4)}}`, data(4)),
    reason: /^its header names something twice/,
  },
  'a dtype named twice': {
    write: () => writeHeader(path, '{"a":{"dtype":"I8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', data(4)),
    reason: /^its header names something twice/,
  },
  'an unknown dtype': {
    write: () => writeHeader(path, `{"a":${entry(0, 4, { dtype: 'F4' })}}`, data(4)),
    reason: /^its tensor a has the dtype F4, which is not known \(known: F64, F32/,
  },
  'a dtype of JavaScript': {
    write: () => writeHeader(path, `{"a":${entry(0, 4, { dtype: 'constructor' })}}`, data(4)),
    reason: /^its tensor a has the dtype constructor/,
  },
  'a negative side': {
    write: () => writeHeader(path, `{"a":${entry(0, 4, { shape: [-2, -2] })}}`, data(4)),
    reason: /^its tensor a has the shape \[-2,-2\]/,
  },
  'a broken side': {
    write: () => writeHeader(path, `{"a":${entry(0, 4, { shape: [1.5] })}}`, data(4)),
    reason: /^its tensor a has the shape \[1\.5\]/,
  },
  'sides whose product overflows': {
    write: () => writeHeader(path, `{"a":${entry(0, 0, { shape: [2 ** 32, 2 ** 32] })}}`),
    reason: /^its tensor a takes 0 bytes, and U8 of \[4294967296,4294967296\] takes 18446744073709552000$/,
  },
  'a shape of another size': {
    write: () => writeHeader(path, `{"a":${entry(0, 4, { shape: [5] })}}`, data(4)),
    reason: /^its tensor a takes 4 bytes, and U8 of \[5\] takes 5$/,
  },
  'offsets that are text': {
    write: () => writeHeader(path, `{"a":${entry(0, 4, { data_offsets: ['0', '4'] })}}`, data(4)),
    reason: /^its tensor a has the data_offsets/,
  },
  'offsets backwards': {
    write: () => writeHeader(path, '{"a":{"dtype":"U8","shape":[0],"data_offsets":[4,0]}}', data(4)),
    reason: /^its tensor a lies at 4 to 0/,
  },
  'data beyond the end': {
    write: () => writeHeader(path, `{"a":${entry(0, 8)}}`, data(4)),
    reason: /^its tensor a lies at 0 to 8 of 4 bytes of data: the file is truncated, or wrong$/,
  },
  'an overlap': {
    write: () => writeHeader(path, `{"a":${entry(0, 4)},"b":${entry(3, 6)}}`, data(6)),
    reason: /^its tensor b overlaps the one before it$/,
  },
  'a gap': {
    write: () => writeHeader(path, `{"a":${entry(0, 4)},"b":${entry(5, 6)}}`, data(6)),
    reason: /^it has 1 bytes before b that belong to no tensor$/,
  },
  'bytes after the last tensor': {
    write: () => writeHeader(path, `{"a":${entry(0, 4)}}`, data(6)),
    reason: /^it has 2 bytes at its end that belong to no tensor$/,
  },
  'metadata that is no text': {
    write: () => writeHeader(path, `{"__metadata__":{"a":1}}`),
    reason: /^its metadata has a that is not a text$/,
  },
};

t.test('a header that does not fit its file is refused with what is wrong', async (t) => {
  for (const [name, { write, reason }] of Object.entries(refused)) {
    write();
    t.throws(() => readHeader(path), { name: 'RangeError', message: reason }, name);
  }
});

t.test('a truncated download is refused wherever it ends', async (t) => {
  writeSafetensors(path, { a: { dtype: 'F32', shape: [8], data: data(32) } });
  for (let size = statSync(path).size - 1; size >= 0; size -= 7) {
    truncateSync(path, size);
    t.throws(() => readHeader(path), RangeError, `${size} bytes`);
  }
});

t.test('of 1,000 fuzzed headers each is refused, or names only bytes of its own data, each once', async (t) => {
  const random = lcg(7);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const odd = [0, 1, -1, 3, 7.5, 2 ** 31, 2 ** 53, 1e300, null, '1', [], {}, true, '\u0000', '__proto__'];
  let read = 0;
  const outcomes = new Set<string>();
  for (let i = 0; i < 1000; i++) {
    const sizes = Array.from({ length: 1 + Math.floor(random() * 4) }, () => Math.floor(random() * 6));
    const tensors = sizes.map((size, k) => ({ dtype: pick(Object.keys(dtypeBytes)), shape: [size], name: `t${k}` }));
    const header: Record<string, Record<string, unknown>> = {};
    let position = 0;
    for (const { dtype, shape, name } of tensors) {
      const length = shape[0]! * dtypeBytes[dtype as keyof typeof dtypeBytes];
      header[name] = { dtype, shape, data_offsets: [position, position + length] };
      position += length;
    }
    const changed = header[pick(tensors).name]!;
    const kind = Math.floor(random() * 6);
    if (kind === 0) changed[pick(['dtype', 'shape', 'data_offsets', 'more'])] = pick(odd);
    if (kind === 1) (changed.shape as unknown[])[Math.floor(random() * 3)] = pick(odd);
    if (kind === 2) (changed.data_offsets as unknown[])[Math.floor(random() * 3)] = pick([...odd, 2, 4, 8, position]);
    if (kind === 3) delete changed[pick(['dtype', 'shape', 'data_offsets'])];
    const text = Buffer.from(JSON.stringify(header));
    if (kind === 4) for (let k = 0; k < 3; k++) text[Math.floor(random() * text.length)] = Math.floor(random() * 256);
    const length = kind === 5 && random() < 0.5 ? BigInt(Math.floor(random() * 2 * text.length)) : undefined;
    const bytes = position + (random() < 0.2 ? Math.floor(random() * 9) - 4 : 0);
    writeHeader(path, text, data(Math.max(bytes, 0)), length);
    try {
      const { tensors: found } = readHeader(path);
      read++;
      const { size } = statSync(path);
      const start = 8 + Number(readFileSync(path).readBigUInt64LE());
      const owners = new Uint8Array(size);
      for (const { offset, length: own, dtype, shape } of found.values()) {
        const fits = offset >= start && offset + own <= size;
        if (!fits) t.fail(`case ${i}: reads outside of its data`);
        owners.subarray(offset, offset + own).forEach((_, k, part) => {
          part[k]!++;
        });
        if (shape.reduce((a, b) => a * b, dtypeBytes[dtype]) !== own) t.fail(`case ${i}: a wrong length`);
      }
      if (!owners.subarray(start).every((count) => count === 1)) t.fail(`case ${i}: a byte with no owner or two`);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      if (error.message.length > 400) t.fail(`case ${i}: ${error.message}`);
      outcomes.add(error.message.replace(/^its tensor \S+/, '').replace(/[\d"[].*/, ''));
    }
  }
  t.ok(read > 50 && read < 800, `${read} were read`);
  t.ok(outcomes.size > 8, `${outcomes.size} kinds of refusals`);
});

/** 0..1; Numerical Recipes' constants. */
function lcg(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
