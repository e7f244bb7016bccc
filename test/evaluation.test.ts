// The committed figures of the shipped model hold what its card promises, and the folder stays small.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import t from 'tap';

const root = new URL('../', import.meta.url);
const figures = JSON.parse(readFileSync(new URL('evaluation/paintbox.json', root), 'utf8'));

t.test('paintbox as measured by npm run models:eval', async (t) => {
  const { autoencoder, style, composition } = figures;
  if (autoencoder) t.ok(autoencoder.mean >= 28, `the autoencoder gives ${autoencoder.mean} dB`);
  t.ok(style.pictures >= 200 && style.share >= 0.7, `styles recognised: ${style.share}`);
  if (composition) {
    const layouts = composition.map(({ layout }: { layout: number }) => layout);
    t.same(layouts, [...new Set<number>(layouts)].sort(), 'the layout survives strictly better at each influence');
  }
});

t.test('models/ is at most 36 MB', async (t) => {
  const models = new URL('models/', root);
  const bytes = readdirSync(models, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(new URL(name, models)))
    .reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0);
  t.ok(bytes <= 36e6, `${bytes} bytes`);
});
