// What each row of a request is conditioned on. Sources: diffusers, pipeline_stable_diffusion*_img2img.py; Luo et al. 2023 for
// the guidance embedding.

import { guidanceRows, type RowKind } from '../guidance.js';
import type { Img2ImgRequest } from '../img2img-request.js';
import { denoiserOf, type Model } from './model.js';
import type { Row } from './onnx/rows.js';
import { type EncodedPrompt, zerosLike } from './prompts/encoded-prompt.js';
import type { Prompt } from './prompts/prompts.js';
import type { Beginning } from './starters/begin.js';
import type { Condition } from './unet.js';

/** The text of each row, in their order. */
export function promptsOf({ folder }: Model, request: Img2ImgRequest): Prompt[] {
  const { prompt, negativePrompt, promptSyntax: syntax = 'plain', longPrompts: long = false } = request;
  return guidanceRows(request, folder.family.rules).map((row) => ({
    text: row === 'prompt' ? prompt : negativePrompt,
    syntax,
    long,
  }));
}

/** @param prompts of the rows, in their order */
export function conditionsOf(
  model: Model,
  request: Img2ImgRequest,
  prompts: readonly EncodedPrompt[],
  { beside }: Pick<Beginning, 'beside'>,
): Condition[] {
  const { folder } = model;
  const rows = guidanceRows(request, folder.family.rules);
  const positive = prompts[rows.indexOf('prompt')]!;
  const condition = (prompt: EncodedPrompt, row: RowKind): Condition => ({
    prompt,
    inputs: inputsOf(model, request, row),
    beside: beside?.(row),
    branches: model.branches?.rows.unet,
  });
  return rows.map((row, i) => {
    if (row === 'prompt') return condition(positive, row);
    const zeros = folder.zerosForEmptyPrompt && request.negativePrompt === '';
    const negative = zeros ? zerosLike(positive) : prompts[i]!;
    return condition({ ...negative, embeds: negative.negativeEmbeds }, row);
  });
}

function inputsOf(model: Model, { pixels, guidanceScale }: Img2ImgRequest, row: RowKind): Condition['inputs'] {
  const { guidanceWidth, wantsAestheticScore } = model.folder;
  const score = wantsAestheticScore ? (row === 'prompt' ? 6 : 2.5) : undefined;
  return {
    ...(denoiserOf(model).takes('time_ids') && { time_ids: timeIds(pixels.height, pixels.width, score) }),
    ...(denoiserOf(model).takes('guidance') && { guidance: { data: [guidanceScale], dims: [] } }),
    ...(guidanceWidth !== undefined && { timestep_cond: guidanceEmbedding(guidanceScale, guidanceWidth) }),
  };
}

/** The guidance as a sinusoidal embedding of `w = scale - 1` (get_guidance_scale_embedding). */
function guidanceEmbedding(scale: number, width: number): Row {
  const half = Math.floor(width / 2);
  const data = new Float32Array(width);
  for (let i = 0; i < half; i++) {
    const angle = (scale - 1) * 1000 * Math.exp((-i * Math.log(10000)) / (half - 1));
    data[i] = Math.sin(angle);
    data[half + i] = Math.cos(angle);
  }
  return { data, dims: [width] };
}

/** SDXL's micro-conditioning for a picture that was neither scaled nor cut: sizes are (height, width). */
function timeIds(height: number, width: number, aestheticScore: number | undefined): Row {
  const target = aestheticScore === undefined ? [height, width] : [aestheticScore];
  const data = [height, width, 0, 0, ...target];
  return { data, dims: [data.length] };
}
