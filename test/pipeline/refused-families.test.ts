// Models of other architectures: each is told by its name, with the reason, before anything of it is loaded.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { familyOf } from '../../src/pipeline/families/index.js';
import { findModels } from '../../src/pipeline/folder/find-models.js';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { GraphWriter } from '../../src/pipeline/graphs/graph-writer.js';
import { dataTypes } from '../../src/pipeline/onnx/graph-file.js';
import { writeSafetensors } from './safetensors/write.js';
import { json } from './stable-diffusion-3.js';

const models = t.testdir();
const read = (name: string) => readModelFolder(join(models, name), 'cpu');

t.test('a folder is told by the class of its pipeline, whatever exporter names it', async (t) => {
  const cases: [className: string, reason: RegExp][] = [
    ['FluxFillPipeline', /^it is Flux Fill, .* not supported$/],
    ['FluxControlPipeline', /^it is Flux Canny or Depth/],
    ['FluxControlImg2ImgPipeline', /^it is Flux Canny or Depth/],
    ['FluxPriorReduxPipeline', /^it is Flux Redux/],
    ['Flux2KleinPipeline', /^it is FLUX\.2, as klein is: its text encoder is a language model/],
    ['ORTFlux2Pipeline', /^it is FLUX\.2/],
    ['ChromaPipeline', /^it is Chroma/],
    ['SanaPipeline', /^it is Sana, whose text encoder \(Gemma 2\) and autoencoder \(DC-AE\)/],
    ['ORTSanaSprintPipeline', /^it is Sana/],
    ['PixArtAlphaPipeline', /^it is PixArt/],
    ['PixArtSigmaPipeline', /^it is PixArt/],
    ['ZImagePipeline', /^it is Z-Image/],
    ['MoebiusInpaintPipeline', /^it is Moebius/],
    ['WuerstchenPipeline', /^the pipeline class WuerstchenPipeline is not supported \(supported: /],
  ];
  for (const [className, reason] of cases) {
    json(join(models, 'folder'), 'model_index.json', { _class_name: className });
    t.throws(() => read('folder'), { message: reason }, className);
  }
});

t.test('the refusal of an unknown class names every class that is taken', async (t) => {
  const { message } = t.throws(() => familyOf('WuerstchenPipeline')) as Error;
  const names = /\(supported: (.*) pipelines\)$/.exec(message)![1]!.split(', ');
  for (const name of names) t.ok(familyOf(`ORT${name}Pipeline`), name);
  for (const name of ['StableDiffusionXLInpaint', 'StableDiffusionInstructPix2Pix', 'FluxKontext']) {
    t.ok(names.includes(name), name);
  }
});

t.test('a single file is told by its keys', async (t) => {
  const cases: [keys: string[], reason: RegExp][] = [
    [['double_stream_modulation_img.lin.weight', 'double_blocks.0.img_attn.qkv.weight'], /^it is FLUX\.2/],
    [['model.diffusion_model.distilled_guidance_layer.in_proj.weight', 'double_blocks.0.a'], /^it is Chroma/],
    [['attention_y_norm.weight'], /^it is Sana/],
    [['blocks.3.cross_attn.q_linear.weight'], /^it is PixArt/],
    [['model.diffusion_model.noise_refiner.0.attention.qkv.weight'], /^it is Z-Image/],
    [
      ['double_blocks.0.img_attn.qkv.weight', 'double_blocks.0.img_attn.qkv.weight.quant_state.bitsandbytes__nf4'],
      /^it is quantised by bitsandbytes \(nf4 or fp4\)/,
    ],
    [['double_blocks.0.img_attn.qkv.weight.absmax'], /^it is quantised by bitsandbytes/],
    [['transformer_blocks.0.attn.to_q.weight'], /^it is a part of a model in diffusers' layout/],
  ];
  const one = { dtype: 'F32', shape: [1], data: new Uint8Array(4) };
  for (const [keys, reason] of cases) {
    writeSafetensors(join(models, 'file.safetensors'), Object.fromEntries(keys.map((key) => [key, one])));
    t.throws(() => read('file.safetensors'), { message: reason }, keys[0]!);
  }
});

/** A graph that gives its first input back. */
function graphOf(inputs: readonly (readonly [name: string, shape: readonly (number | string)[]])[]): Uint8Array {
  const g = new GraphWriter();
  const [first] = inputs.map(([name, shape]) => g.input(name, dataTypes.float32, shape));
  g.output('out', first!, inputs[0]![1]);
  return g.finish(0).bytes;
}

t.test('graphs side by side are listed, and told by their inputs', async (t) => {
  const latent = ['latent', ['batch', 9, 64, 64]] as const;
  const folders: Record<string, { file: string; bytes: Uint8Array; reason: RegExp }> = {
    moebius: {
      file: 'unet.onnx',
      bytes: graphOf([latent, ['timesteps', ['batch']], ['input_ids', ['batch', 10]]]),
      reason: /^it is Moebius, .* no text encoder$/,
    },
    klein: {
      file: 'transformer.onnx',
      bytes: graphOf([
        ['hidden_states', ['batch', 'image', 128]],
        ['img_ids', ['batch', 'image', 4]],
      ]),
      reason: /^it is FLUX\.2, as klein is/,
    },
    flat: {
      file: 'unet.onnx',
      bytes: graphOf([['sample', ['batch', 4, 'height', 'width']]]),
      reason:
        /^its graphs lie side by side \(unet\.onnx\); a model has each in a folder of its own, such as unet\/model\.onnx$/,
    },
    torn: { file: 'unet.onnx', bytes: new Uint8Array([1, 2, 3]), reason: /^its graphs lie side by side/ },
  };
  for (const [name, { file, bytes, reason }] of Object.entries(folders)) {
    mkdirSync(join(models, name));
    writeFileSync(join(models, name, file), bytes);
    t.throws(() => read(name), { message: reason }, name);
  }
  writeFileSync(join(models, 'dream.Q4_K_S.gguf'), 'GGUF');
  t.throws(() => read('dream.Q4_K_S.gguf'), {
    message: /^dream\.Q4_K_S\.gguf is GGUF, whose quantised weights are not/,
  });
  const found = [...findModels(models).paths.keys()];
  for (const name of [...Object.keys(folders), 'dream.Q4_K_S.gguf']) t.ok(found.includes(name), `${name} is listed`);
});
