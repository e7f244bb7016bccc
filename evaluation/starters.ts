// npm run models:starters FOLDER packs what models/training/held_out.py made into starters/, simulated/ and photographs/, as WebP at
// quality 92.

import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const folder = process.argv[2];
if (folder === undefined) throw new Error('which folder? models/training/held_out.py --out FOLDER makes one');
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

async function pack(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    if (!name.endsWith('.png')) continue;
    await sharp(`${from}/${name}`)
      .webp({ quality: 92, effort: 6 })
      .toFile(`${to}/${name.replace('.png', '.webp')}`);
  }
}
await pack(folder, here('starters'));
await pack(`${folder}/simulated`, here('simulated'));
await pack(`${folder}/photographs`, here('photographs'));
await copyFile(`${folder}/photographs/README.md`, here('photographs/README.md'));
await copyFile(`${folder}/scenes.json`, here('starters/scenes.json'));
