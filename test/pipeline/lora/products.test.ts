// The products of factors as onnxruntime folds them into a weight, against lycoris-lora's numbers.

import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import t from 'tap';
import { Layers } from '../../../src/pipeline/graphs/layers.js';
import { Weights } from '../../../src/pipeline/graphs/weights.js';
import { loraOf } from '../../../src/pipeline/lora/lora-file.js';
import { readHeader } from '../../../src/pipeline/safetensors/header.js';
import { encoded, values } from '../checkpoints.js';
import { writeSafetensors } from '../safetensors/write.js';
import { products } from './loras.js';

const folder = t.testdir();

for (const { kind, shapes, delta, shape } of products) {
  t.test(`${kind}: a weight becomes itself plus scale times what lycoris-lora computes`, async (t) => {
    const own = values('weight', shape);
    const tensors = Object.fromEntries(
      Object.entries(shapes).map(([key, dims]) => [
        `lora_unet_a.${key}`,
        { shape: dims, ...encoded(values(`${kind}.${key}`, dims), 'float32') },
      ]),
    );
    const path = join(folder, `${kind}.safetensors`);
    writeSafetensors(path, { weight: { shape, ...encoded(own.slice(), 'float32') }, ...tensors });
    const header = readHeader(path);
    const { factors, kronecker } = loraOf({
      ...header,
      tensors: new Map([...header.tensors].filter(([name]) => name !== 'weight')),
    }).modules[0]!;
    const scale = -1.25;
    const expected = own.map((value, i) => value + scale * delta[i]!);
    const largest = Math.max(...expected.map(Math.abs));
    // Half floats have eleven digits in base two: what is rounded once is off by half of the last.
    for (const [precision, allowed] of [
      ['fp32', 1e-5],
      ['fp16', 1e-5 + largest * 2 ** -11],
    ] as const) {
      const g = new Layers(
        new Weights(header.tensors, new Map([['weight', [{ scale, factors, kronecker }]]])),
        precision,
      );
      g.output('all', g.parameter('weight', shape), [...shape]);
      const { bytes, folder: root } = g.finish(0);
      const extra = { session: { model_external_initializers_file_folder_path: root } };
      const session = await InferenceSession.create(bytes, { extra });
      const { all } = await session.run({});
      t.strictSame(all!.dims, shape);
      const furthest = Math.max(...expected.map((value, i) => Math.abs(value - (all!.data[i] as number))));
      t.ok(furthest < allowed, `${precision}: within ${furthest}`);
      await session.release();
    }
  });
}
