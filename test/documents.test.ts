import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';

const root = new URL('../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const documents = [
  'README.md',
  'src/README.md',
  'models/training/README.md',
  'models/paintbox/README.md',
  'SECURITY.md',
];

t.test('links of the documents lead to files, and their npm commands exist', async (t) => {
  const { scripts } = JSON.parse(read('package.json'));
  for (const path of documents) {
    const text = read(path);
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      t.ok(existsSync(new URL(target!, new URL(path, root))), `${path}: ${target}`);
    }
    for (const [, script] of text.matchAll(/npm run ([\w:]+)/g)) t.ok(script! in scripts, `${path}: npm run ${script}`);
  }
});

t.test('README stays short', async (t) => {
  t.ok(read('README.md').split('\n').length <= 150);
});
