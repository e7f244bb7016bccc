// What a clone has to carry.

import { lstatSync, readdirSync } from 'node:fs';
import t from 'tap';

const root = new URL('../', import.meta.url);
t.test('models/ is at most 36 MB', async (t) => {
  const models = new URL('models/', root);
  const bytes = readdirSync(models, { recursive: true, encoding: 'utf8' })
    .map((name) => lstatSync(new URL(name, models)))
    .reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0);
  t.ok(bytes <= 36e6, `${bytes} bytes`);
});
