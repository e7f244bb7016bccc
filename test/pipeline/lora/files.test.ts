// LoRA files by themselves: the keys of trainers, what strangers write, and which models a file fits.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { familyOfLora } from '../../../src/pipeline/lora/family.js';
import { findLoras } from '../../../src/pipeline/lora/find-loras.js';
import { parseKey, refusalOf } from '../../../src/pipeline/lora/keys.js';
import { loraLimits, loraOf, readLora } from '../../../src/pipeline/lora/lora-file.js';
import { matchLora } from '../../../src/pipeline/lora/match.js';
import { weightsByModule } from '../../../src/pipeline/lora/module-names.js';
import type { Dtype, TensorPlace } from '../../../src/pipeline/safetensors/header.js';
import { refusedFiles } from './loras.js';

const place = (shape: readonly number[], dtype: Dtype = 'F32'): TensorPlace => ({
  ...{ dtype, shape, file: '/none', offset: 0, length: 0 },
});
const tensorsOf = (shapes: Readonly<Record<string, readonly number[]>>) =>
  new Map(Object.entries(shapes).map(([name, shape]) => [name, place(shape)]));
const fileOf = (shapes: Readonly<Record<string, readonly number[]>>, metadata: Record<string, string> = {}) =>
  loraOf({ tensors: tensorsOf(shapes), metadata: new Map(Object.entries(metadata)) });

const attention = 'down_blocks_0_attentions_0_transformer_blocks_0_attn1';
const keys: Record<string, [part: string, module: string, role: string] | undefined> = {
  [`lora_unet_${attention}_to_q.lora_down.weight`]: ['unet', `${attention}_to_q`, 'down'],
  [`lora_unet_${attention}_to_q.alpha`]: ['unet', `${attention}_to_q`, 'alpha'],
  'lora_unet_mid_block_resnets_0_conv1.lora_mid.weight': ['unet', 'mid_block_resnets_0_conv1', 'mid'],
  'lora_unet_mid_block_resnets_0_conv1.hada_w2_b': ['unet', 'mid_block_resnets_0_conv1', 'hada_w2_b'],
  'lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight': [
    'text_encoder',
    'text_model_encoder_layers_0_mlp_fc1',
    'up',
  ],
  'lora_te1_a.lora_up.weight': ['text_encoder', 'a', 'up'],
  'lora_te2_a.lora_up.weight': ['text_encoder_2', 'a', 'up'],
  'unet.mid_block.attentions.0.proj_in.lora_A.weight': ['unet', 'mid_block_attentions_0_proj_in', 'down'],
  'unet.mid_block.attentions.0.proj_in.lora_B.default.weight': ['unet', 'mid_block_attentions_0_proj_in', 'up'],
  'unet.mid_block.attn1.processor.to_q_lora.down.weight': ['unet', 'mid_block_attn1_to_q', 'down'],
  'unet.mid_block.attn1.processor.to_out_lora.up.weight': ['unet', 'mid_block_attn1_to_out_0', 'up'],
  'text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.down.weight': [
    'text_encoder',
    'text_model_encoder_layers_0_self_attn_q_proj',
    'down',
  ],
  'text_encoder_2.a.self_attn.to_out_lora.up.weight': ['text_encoder_2', 'a_self_attn_out_proj', 'up'],
  'base_model.model.mid_block.a.lora_A.weight': ['unet', 'mid_block_a', 'down'],
  'diffusion_model.middle_block.1.proj_in.lora_A.weight': ['unet', 'middle_block_1_proj_in', 'down'],
  'lora_unet_a.diff_b': undefined,
  'vae.a.lora_A.weight': undefined,
};
t.test('keys of every trainer are read', async (t) => {
  for (const [key, wanted] of Object.entries(keys)) {
    const parsed = parseKey(key);
    t.strictSame(parsed && [parsed.part, parsed.module, parsed.role], wanted, key);
  }
});

t.test('files of other formulas and for other models are refused whole, with a sentence', async (t) => {
  const refused = {
    'lora_unet_a.dora_scale': /^it is a DoRA/,
    'unet.a.lora_magnitude_vector': /^it is a DoRA/,
    'lora_unet_a.oft_blocks': /^it is an OFT/,
    'lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight': /^it is for Flux/,
    'transformer.transformer_blocks.0.attn.to_q.lora_A.weight': /^it is for models with a diffusion transformer/,
    'model.diffusion_model.input_blocks.1.0.in_layers.2.weight': /^it is a whole model/,
  };
  for (const [key, sentence] of Object.entries(refused)) {
    t.match(refusalOf(key), sentence, key);
    const plain = { 'lora_unet_a.lora_down.weight': [1, 2], 'lora_unet_a.lora_up.weight': [2, 1] };
    t.throws(() => fileOf({ ...plain, [key]: [1, 1] }), { message: sentence }, key);
  }
  t.equal(refusalOf('lora_unet_input_blocks_4_1_proj_in.lora_down.weight'), undefined);
});

t.test('so are those that lycoris-lora and peft write', async (t) => {
  const sentences: Readonly<Record<string, RegExp>> = {
    dora: /^it is a DoRA/,
    'lokr-dora': /^it is a DoRA/,
    'peft-dora': /^it is a DoRA/,
    oft: /^it is an OFT/,
    boft: /^it is an OFT/,
  };
  t.strictSame(Object.keys(refusedFiles).sort(), Object.keys(sentences).sort());
  for (const [name, shapes] of Object.entries(refusedFiles)) {
    t.throws(() => fileOf(shapes), { message: sentences[name]! }, name);
  }
});

t.test('what a stranger may write is held against limits', async (t) => {
  const a = 'lora_unet_a';
  const hostile: Record<string, [shapes: Record<string, readonly number[]>, reason: RegExp]> = {
    'no LoRA': [{ weight: [2, 2] }, /^it holds no LoRA/],
    'one factor': [{ [`${a}.lora_down.weight`]: [1, 2] }, /has no up/],
    'factors that do not multiply': [
      { [`${a}.lora_down.weight`]: [3, 2], [`${a}.lora_up.weight`]: [2, 4] },
      /\[2,4\] and \[3,2\], which do not multiply/,
    ],
    'a rank beyond the limit': [
      { [`${a}.lora_down.weight`]: [5000, 2], [`${a}.lora_up.weight`]: [2, 5000] },
      /has the rank 5000; it must be from 1 to 4096/,
    ],
    'a rank of 0': [{ [`${a}.lora_down.weight`]: [0, 2], [`${a}.lora_up.weight`]: [2, 0] }, /has the rank 0/],
    vectors: [{ [`${a}.lora_down.weight`]: [2], [`${a}.lora_up.weight`]: [2, 1] }, /no matrix/],
    'an alpha of many': [
      { [`${a}.lora_down.weight`]: [1, 2], [`${a}.lora_up.weight`]: [2, 1], [`${a}.alpha`]: [2] },
      /has an alpha of shape \[2\]/,
    ],
    'a core of another rank': [
      { [`${a}.lora_down.weight`]: [1, 2], [`${a}.lora_up.weight`]: [2, 1], [`${a}.lora_mid.weight`]: [2, 2, 3, 3] },
      /has a core of \[2,2,3,3\] at rank 1/,
    ],
    'a LoKr of one side': [{ [`${a}.lokr_w1`]: [2, 2] }, /has no lokr_w2_a/],
    'a LoKr of three sides': [
      { [`${a}.lokr_w1`]: [2, 2], [`${a}.lokr_w2`]: [2, 2], [`${a}.lokr_w2_a`]: [2, 2] },
      /do not belong together/,
    ],
    'a core beside a whole side': [
      { [`${a}.lokr_w1`]: [2, 2], [`${a}.lokr_w2`]: [2, 2], [`${a}.lokr_t2`]: [2, 2, 3, 3] },
      /do not belong together/,
    ],
    'a LoKr whose factors do not multiply': [
      { [`${a}.lokr_w1`]: [2, 2], [`${a}.lokr_w2_a`]: [2, 3], [`${a}.lokr_w2_b`]: [2, 2] },
      /\[2,3\] and \[2,2\], which do not multiply/,
    ],
    'two formulas': [
      { [`${a}.lora_down.weight`]: [1, 2], [`${a}.lora_up.weight`]: [2, 1], [`${a}.hada_t1`]: [1, 1, 3, 3] },
      /do not belong together/,
    ],
  };
  for (const [name, [shapes, reason]] of Object.entries(hostile))
    t.throws(() => fileOf(shapes), { message: reason }, name);
  const many = Object.fromEntries(Array.from({ length: loraLimits.tensors + 1 }, (_, i) => [`a${i}`, [1]]));
  t.throws(() => fileOf(many), { message: /has 20001 tensors; at most 20000/ });
  const integers = new Map([
    ['lora_unet_a.lora_down.weight', place([1, 2], 'I8')],
    ['lora_unet_a.lora_up.weight', place([2, 1])],
  ]);
  t.throws(() => loraOf({ tensors: integers, metadata: new Map() }), { message: /has a down of I8 \(supported: F32/ });

  const folder = t.testdir({ 'cut.safetensors': 'short', 'deep.safetensors': Buffer.alloc(16, 255) });
  t.throws(() => readLora(join(folder, 'cut.safetensors')), { message: /^it cannot be read: .*too short/ });
  t.throws(() => readLora(join(folder, 'deep.safetensors')), { message: /at most 16777216 are read/ });
  t.throws(() => readLora(join(folder, 'gone.safetensors')), { message: /is missing/ });
});

const unet = {
  'conv_in.weight': [32, 4, 3, 3],
  'down_blocks.0.resnets.0.conv1.weight': [32, 32, 3, 3],
  'down_blocks.0.resnets.1.conv1.weight': [32, 32, 3, 3],
  'down_blocks.0.downsamplers.0.conv.weight': [32, 32, 3, 3],
  'down_blocks.1.attentions.0.proj_in.weight': [64, 64],
  'mid_block.attentions.0.proj_in.weight': [64, 64],
  'mid_block.resnets.1.time_emb_proj.weight': [64, 128],
  'up_blocks.0.attentions.2.proj_in.weight': [64, 64],
  'up_blocks.0.upsamplers.0.conv.weight': [64, 64, 3, 3],
  'up_blocks.1.resnets.0.conv_shortcut.weight': [32, 64, 1, 1],
  'up_blocks.1.upsamplers.0.conv.weight': [32, 32, 3, 3],
  'time_embedding.linear_1.weight': [128, 32],
  'time_embedding.linear_1.bias': [128],
};
t.test("modules have diffusers' names and the original layout's", async (t) => {
  const names = weightsByModule('unet', tensorsOf(unet));
  const originals = {
    input_blocks_0_0: 'conv_in',
    input_blocks_1_0_in_layers_2: 'down_blocks.0.resnets.0.conv1',
    input_blocks_2_0_in_layers_2: 'down_blocks.0.resnets.1.conv1',
    input_blocks_3_0_op: 'down_blocks.0.downsamplers.0.conv',
    input_blocks_4_1_proj_in: 'down_blocks.1.attentions.0.proj_in',
    middle_block_1_proj_in: 'mid_block.attentions.0.proj_in',
    middle_block_2_emb_layers_1: 'mid_block.resnets.1.time_emb_proj',
    output_blocks_2_1_proj_in: 'up_blocks.0.attentions.2.proj_in',
    output_blocks_2_2_conv: 'up_blocks.0.upsamplers.0.conv',
    output_blocks_3_0_skip_connection: 'up_blocks.1.resnets.0.conv_shortcut',
    output_blocks_5_1_conv: 'up_blocks.1.upsamplers.0.conv',
    time_embed_0: 'time_embedding.linear_1',
  };
  for (const [original, module] of Object.entries(originals)) {
    t.equal(names.get(original), `${module}.weight`, original);
    t.equal(names.get(module.replaceAll('.', '_')), `${module}.weight`);
  }
  t.equal(names.size, 2 * Object.keys(originals).length, 'and no others: biases are not changed');
});

const pair = (module: string, down: readonly number[], up: readonly number[]) => ({
  [`lora_unet_${module}.lora_down.weight`]: down,
  [`lora_unet_${module}.lora_up.weight`]: up,
});
t.test('a file fits a model with the same shapes and places for nine of ten keys', async (t) => {
  const parts = { unet: tensorsOf(unet) };
  const proj = 'mid_block_attentions_0_proj_in';
  const match = (shapes: Record<string, readonly number[]>, metadata = {}) =>
    matchLora(fileOf(shapes, metadata), parts, 2);
  const changesOf = (shapes: Record<string, readonly number[]>, metadata = {}) => [
    ...match(shapes, metadata).changes.unet!,
  ];

  t.match(changesOf(pair(proj, [4, 64], [64, 4])), [['mid_block.attentions.0.proj_in.weight', { scale: 2 }]]);
  t.equal(changesOf(pair(proj, [4, 64, 1, 1], [64, 4, 1, 1])).length, 1, 'as a 1 x 1 convolution');
  const config = (more: object) => ({ lora_adapter_metadata: JSON.stringify({ 'unet.lora_alpha': 8, ...more }) });
  const alphas: [metadata: object, scale: number][] = [
    [config({}), 4],
    [config({ 'unet.use_rslora': true }), 8],
    [config({ 'unet.alpha_pattern': { 'attentions.0.proj_in': 2 } }), 1],
    [{ lora_adapter_metadata: 'no JSON' }, 2],
  ];
  for (const [metadata, scale] of alphas) {
    t.equal(changesOf(pair(proj, [4, 64], [64, 4]), metadata)[0]![1].scale, scale, JSON.stringify(metadata));
  }

  const misfits: Record<string, readonly [readonly number[], readonly number[]]> = {
    'of another width': [
      [4, 32],
      [64, 4],
    ],
    'of another height': [
      [4, 64],
      [32, 4],
    ],
    'of as many numbers in another shape': [
      [4, 64],
      [32, 4, 2, 1],
    ],
  };
  for (const [name, [down, up]] of Object.entries(misfits)) {
    t.throws(
      () => match(pair(proj, down, up)),
      { message: /^its module mid_block_attentions_0_proj_in changes a weight/ },
      name,
    );
  }
  const eleven = Object.assign({}, ...Array.from({ length: 9 }, (_, i) => pair(`nowhere_${i}`, [1, 1], [1, 1])));
  t.throws(() => match({ ...pair(proj, [4, 64], [64, 4]), ...eleven }), {
    message: /^only 2 of its 20 keys have a place/,
  });
  const modules = [...weightsByModule('unet', parts.unet)].filter(([name]) => !name.includes('block'));
  t.equal(modules.length > 0, true);
  const twice = { ...pair(proj, [4, 64], [64, 4]), ...pair('middle_block_1_proj_in', [4, 64], [64, 4]) };
  t.throws(() => match(twice), { message: /^only 2 of its 4 keys/ }, 'a module that is there twice counts once');
});

t.test('the family is told by the width of the prompt that it attends to, or by the second text encoder', async (t) => {
  const attn2 = (width: number) => fileOf(pair('mid_block_attn2_to_k', [4, width], [64, 4]));
  const widths = { 768: 'sd1', 1024: 'sd2', 1280: 'sdxl-refiner', 2048: 'sdxl', 100: 'unknown' };
  for (const [width, family] of Object.entries(widths)) t.equal(familyOfLora(attn2(Number(width))), family);
  const second = { 'lora_te2_a.lora_down.weight': [1, 2], 'lora_te2_a.lora_up.weight': [2, 1] };
  t.equal(familyOfLora(fileOf(second)), 'sdxl');
});

t.test(
  'files are found by their names, at most a thousand and four folders deep; what begins with a dot is not looked at',
  async (t) => {
    const folder = t.testdir({
      'b.safetensors': '',
      '.hidden.safetensors': '',
      'notes.txt': '',
      a: { b: { c: { d: { 'deep.safetensors': '', e: { 'deeper.safetensors': '' } } } } },
      here: t.fixture('symlink', 'b.safetensors'),
      'inside.safetensors': t.fixture('symlink', 'b.safetensors'),
      'nowhere.safetensors': t.fixture('symlink', 'gone'),
      'outside.safetensors': t.fixture('symlink', '/etc/hostname'),
    });
    t.match(
      findLoras(folder).map(({ name, refusal }) => [name, refusal]),
      [
        ['a/b/c/d/deep', undefined],
        ['b', undefined],
        ['inside', undefined],
        ['nowhere', /leads nowhere/],
        ['outside', /leaves the folder/],
      ],
    );
    t.strictSame(findLoras(join(folder, 'gone')), []);
    mkdirSync(join(folder, 'many'));
    for (let i = 0; i < 1100; i++) writeFileSync(join(folder, 'many', `${i}.safetensors`), '');
    t.equal(findLoras(folder).length, 1000);
  },
);
