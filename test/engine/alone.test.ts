// Requests alone and beside others, with the shipped models: layers as wide as real ones, in which a processor's kernels for one row and
// for several may round differently.

import t from 'tap';
import { cottage, form, startApp } from '../start.js';

t.test('a request gives the same bytes alone and beside others', async (t) => {
  const { url } = await startApp(t, { MAX_CONCURRENT: '4' });
  const cases: [name: string, fields: Record<string, string | number>][] = [
    ['guided', { model: 'paintbox', steps: 4 }],
    ['unguided', { model: 'paintbox', steps: 4, guidance: 1 }],
    ['with an embedded guidance', { model: 'paintbox-lcm' }],
  ];
  for (const [name, fields] of cases) {
    const make = async (seed: number) => {
      const body = form(cottage, { ...fields, prompt: 'comic', width: 128, height: 128, seed });
      const response = await fetch(`${url}/img2img`, { method: 'POST', body });
      t.equal(response.status, 200);
      return Buffer.from(await response.arrayBuffer());
    };
    const seeds = [1, 2, 3, 4];
    const alone: Buffer[] = [];
    for (const seed of seeds) alone.push(await make(seed));
    const together = await Promise.all(seeds.map(make));
    for (const [i, picture] of together.entries()) t.ok(picture.equals(alone[i]!), `${name}, seed ${seeds[i]}`);
  }
});
