// npm run models:starters FOLDER packs what models/training/held_out.py drew into starters/, as WebP at quality 92.

import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const folder = process.argv[2];
if (folder === undefined) throw new Error('which folder? models/training/held_out.py --out FOLDER makes one');
const target = fileURLToPath(new URL('starters', import.meta.url));
await mkdir(target, { recursive: true });
for (const name of await readdir(folder)) {
  if (!name.endsWith('.png')) continue;
  await sharp(`${folder}/${name}`)
    .webp({ quality: 92, effort: 6 })
    .toFile(`${target}/${name.replace('.png', '.webp')}`);
}
await copyFile(`${folder}/scenes.json`, `${target}/scenes.json`);
