import t from 'tap';
import type { RemoteRepository } from '../../src/models-command/pull/hub.js';
import { selectFolder } from '../../src/models-command/pull/selection.js';

/** @param files by path, with what the small ones say */
function repository(files: Readonly<Record<string, object>>) {
  const remote = Object.keys(files).map((path) => {
    const digest = { algorithm: 'git', hex: '' } as const;
    return [path, { path, bytes: 1, digest }] as const;
  });
  const made = { name: 'someone/model', files: new Map(remote) } as unknown as RemoteRepository;
  return { made, readJson: async ({ path }: { path: string }) => files[path]! };
}

const vae = { 'vae/config.json': {}, 'vae/diffusion_pytorch_model.safetensors': {} };
const encoder = (part: string) => ({ [`${part}/config.json`]: {}, [`${part}/model.safetensors`]: {} });

t.test('of Stable Diffusion 3 the transformer is taken, and T5 in all of its files', async (t) => {
  const shard = (i: number) => `text_encoder_3/model-0000${i}-of-00002.safetensors`;
  const wanted = {
    'model_index.json': { _class_name: 'StableDiffusion3Pipeline' },
    'scheduler/scheduler_config.json': {},
    'tokenizer/merges.txt': {},
    'tokenizer_2/vocab.json': {},
    'tokenizer_3/tokenizer.json': {},
    ...encoder('text_encoder'),
    ...encoder('text_encoder_2'),
    'text_encoder_3/config.json': {},
    'text_encoder_3/model.safetensors.index.json': {
      weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
    },
    [shard(1)]: {},
    [shard(2)]: {},
    'transformer/config.json': {},
    'transformer/diffusion_pytorch_model.safetensors': {},
    ...vae,
  };
  const beside = { 'tokenizer_3/spiece.model': {}, 'sd3_medium.safetensors': {}, 'README.md': {} };
  const { made, readJson } = repository({ ...wanted, ...beside });
  const chosen = await selectFolder(made, undefined, readJson);
  t.strictSame(chosen.map(({ path }) => path).sort(), Object.keys(wanted).sort());
});

t.test('the part that denoises must be there, by the name that the family has for it', async (t) => {
  for (const [className, part] of [
    ['StableDiffusion3Pipeline', 'transformer'],
    ['StableDiffusionPipeline', 'unet'],
  ] as const) {
    const other = part === 'unet' ? 'transformer' : 'unet';
    const { made, readJson } = repository({
      'model_index.json': { _class_name: className },
      ...encoder('text_encoder'),
      [`${other}/diffusion_pytorch_model.safetensors`]: {},
      ...vae,
    });
    await t.rejects(selectFolder(made, undefined, readJson), {
      message: `someone/model has no weights for its ${part}: neither safetensors nor model.onnx`,
    });
  }
});
