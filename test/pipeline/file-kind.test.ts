// A file in the folder of models that is none says which folder it is for.

import t from 'tap';
import { checkIsModel } from '../../src/pipeline/checkpoint/file-kind.js';

const embedding =
  /^it is an embedding.* belongs into the folder of embeddings \(embeddings\/ in MODELS_DIR, or EMBEDDINGS_DIR\)$/;
const lora = /^it is a LoRA.* belongs into the folder of LoRAs \(loras\/ in MODELS_DIR, or LORAS_DIR\)$/;

t.test('what runs beside a model is told where it belongs', (t) => {
  for (const [keys, message] of [
    [['emb_params'], embedding],
    [['string_to_param'], embedding],
    [['clip_g', 'clip_l'], embedding],
    [['<token>'], embedding],
    [['lora_unet_down_blocks_0.lora_down.weight'], lora],
    [['unet.down_blocks.0.attn1.to_k.lora_A.weight'], lora],
  ] as const) {
    const tensors = new Map(keys.map((key) => [key, {}])) as unknown as Parameters<typeof checkIsModel>[0];
    t.throws(() => checkIsModel(tensors), { message }, keys.join(', '));
  }
  t.end();
});
