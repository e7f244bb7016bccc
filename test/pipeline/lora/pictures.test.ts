// Models with LoRAs against the pictures of diffusers' load_lora_weights and fuse_lora.

import { join } from 'node:path';
import t from 'tap';
import { fold } from '../../../src/pipeline/lora/fold.js';
import { readLora } from '../../../src/pipeline/lora/lora-file.js';
import { loadFolded, loadModel, type Model, releaseModel } from '../../../src/pipeline/model.js';
import { generate, requestOf } from '../cases.js';
import { writeCheckpointFolder } from '../checkpoints.js';
import { besideWeights } from './beside-weights.js';
import { type LoraCase, loraCases, writeLora } from './loras.js';

const parent = t.testdir();
const device = { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') } as const;

const fileOf = (name: string) => readLora(writeLora(join(parent, `${name}.safetensors`), name));

async function picture(model: Model, c: LoraCase): Promise<Uint8Array> {
  const [made] = await generate(model, [requestOf(c)]);
  return made!.pixels.data;
}

/** Share of the samples that differ from diffusers' by more than one; the case holds every second pixel both ways. */
function beyondOne(data: Uint8Array, { width, pixels }: LoraCase): number {
  const expected = Buffer.from(pixels, 'base64');
  const beyond = expected.filter((sample, i) => {
    const pixel = Math.floor(i / 3);
    const place = 2 * Math.floor(pixel / (width / 2)) * width + 2 * (pixel % (width / 2));
    return Math.abs(data[3 * place + (i % 3)]! - sample) > 1;
  });
  return beyond.length / expected.length;
}

for (const family of ['sd', 'sdxl'] as const) {
  t.test(`${family}: LoRAs of every layout, scale and number give diffusers' pictures`, async (t) => {
    const ways: string[] = [];
    const base = await loadModel(writeCheckpointFolder(join(parent, family), family), device);
    for (const c of loraCases.filter((one) => one.family === family)) {
      const loras = c.loras.map(([name, scale]) => ({ name, scale, file: fileOf(name) }));
      const folded = fold(base.folder, loras);
      t.equal(folded.unusedKeys, 0);
      const model = await loadFolded(base, folded, device);
      t.equal(model.sessions.vae_decoder, base.sessions.vae_decoder, 'what no LoRA touches is shared');
      const beside = besideWeights(base, loras);
      for (const [way, one] of [['folded', model] as const, ...(beside ? [['branched', beside] as const] : [])]) {
        const share = beyondOne(await picture(one, c), c);
        const told = `${way} ${JSON.stringify(c.loras)}, ${c.steps} steps at ${c.strength}, guidance ${c.guidance}`;
        t.ok(share <= 0.001, `${told}: ${(100 * share).toFixed(2)} % differ by more than 1`);
        ways.push(way);
      }
      await releaseModel(model);
    }
    t.ok(ways.includes('branched'));
    const [first] = loraCases.filter((one) => one.family === family);
    t.ok(beyondOne(await picture(base, first!), first!) > 0.5, 'without them it is another picture');
    await releaseModel(base);
  });
}
