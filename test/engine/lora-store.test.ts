// What a worker tells of the files in LORAS_DIR, and when it reads them again.

import { mkdirSync, renameSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LoraStore } from '../../src/engine/worker/lora-store.js';
import { writeLora } from '../pipeline/lora/loras.js';

function lorasOf(t: Test, names: readonly string[]) {
  const lorasDir = join(t.testdir(), 'loras');
  mkdirSync(lorasDir);
  const fileOf = (name: string) => join(lorasDir, `${name}.safetensors`);
  for (const name of names) writeLora(fileOf(name), 'kohya');
  return { lorasDir, fileOf };
}

const digestsOf = ({ loras }: LoraStore) => loras.map((lora) => (lora.runnable ? lora.digest : lora.reason));

t.test('a file in whose place another one of its size and time was renamed is another LoRA', async (t) => {
  const { lorasDir, fileOf } = lorasOf(t, ['ink']);
  const store = new LoraStore(lorasDir, {});
  await store.look();
  const [before] = digestsOf(store);
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
  t.throws(() => store.open('ink', before!), { message: /has changed since the request came/ });
  t.ok(await store.look());
  t.not(digestsOf(store)[0], before);
});
