// What a worker tells of the files in LORAS_DIR, and when it reads them again.

import { mkdirSync, renameSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { digestsOf } from '../../src/engine/host/catalogue.js';
import type { LoraEntry } from '../../src/engine/shared/messages.js';
import { LoraStore } from '../../src/engine/worker/lora-store.js';
import { writeLora } from '../pipeline/lora/loras.js';

function lorasOf(t: Test, names: readonly string[]) {
  const lorasDir = join(t.testdir(), 'loras');
  mkdirSync(lorasDir);
  const fileOf = (name: string) => join(lorasDir, `${name}.safetensors`);
  for (const name of names) writeLora(fileOf(name), 'kohya');
  return { lorasDir, fileOf };
}

const digestOf = ({ loras: [lora] }: LoraStore) => lora?.runnable && lora.digest;

t.test('a file in whose place another one of its size and time was renamed is another LoRA', async (t) => {
  const { lorasDir, fileOf } = lorasOf(t, ['ink']);
  const store = new LoraStore(lorasDir, {});
  await store.look();
  const before = digestOf(store);
  const { atime, mtime } = statSync(fileOf('ink'));
  writeLora(join(lorasDir, '.new'), 'kohya', undefined, (tensors) =>
    Object.fromEntries(
      Object.entries(tensors).map(([key, entry]) => [key, typeof entry === 'number' ? entry + 1 : entry]),
    ),
  );
  utimesSync(fileOf('ink'), atime, mtime);
  utimesSync(join(lorasDir, '.new'), atime, mtime);
  t.ok(await store.look());
  t.equal(statSync(join(lorasDir, '.new')).size, statSync(fileOf('ink')).size);
  renameSync(join(lorasDir, '.new'), fileOf('ink'));
  t.throws(() => store.open('ink', `${before}`), { message: /has changed since the request came/ });
  t.ok(await store.look());
  t.not(digestOf(store), before);
});

t.test('each file that is hashed gives signs of life and is told when it is, and none is hashed twice', async (t) => {
  const { lorasDir } = lorasOf(t, ['brush', 'ink']);
  const signs: string[] = [];
  const told = new Map<string, LoraEntry>();
  const events = {
    reading: () => void signs.push('reading'),
    read(lora: LoraEntry) {
      signs.push(lora.name);
      told.set(lora.name, lora);
    },
  };
  const first = new LoraStore(lorasDir, {}, events);
  await first.look();
  t.strictSame(signs, ['reading', 'brush', 'reading', 'ink']);

  signs.length = 0;
  const second = new LoraStore(lorasDir, digestsOf([told.get('brush')!]), events);
  await second.look();
  t.strictSame(signs, ['reading', 'ink'], 'a worker that follows goes on where the last one was');
  t.strictSame(second.loras, first.loras);
});
