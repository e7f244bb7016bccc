// Requests -> generations: prompts encoded, starters encoded, latents where their schedules begin.

import { guidanceRows, type RowKind } from '../guidance.js';
import type { Img2ImgRequest } from '../img2img-request.js';
import type { NamedEmbeddings } from '../model-facts.js';
import { conditionsOf, promptsOf } from './conditions.js';
import type { Generation } from './generation.js';
import type { Model } from './model.js';
import { TorchGenerator } from './numbers/noise.js';
import type { EncodedPrompt } from './prompts/encoded-prompt.js';
import { encodePrompts } from './prompts/prompts.js';
import { createSchedule } from './schedulers/index.js';
import { begins } from './starters/index.js';
import { drawIsSeeded } from './vae.js';

/** @param requests with starters of one size: they share a call of each encoder */
export async function prepare(model: Model, requests: readonly Img2ImgRequest[]): Promise<Generation[]> {
  const { family, schedulerConfig, vaeScale, latentChannels } = model.folder;
  const start = performance.now();
  const prompts = await encodePrompts(
    model,
    requests.map((request) => promptsOf(model, request)),
  );
  const textEncode = performance.now() - start;
  const started = requests.map((request) => ({
    request,
    schedule: createSchedule(request, schedulerConfig, family.rules.schedule),
    generator: new TorchGenerator(request.seed),
  }));
  const beginnings = await begins[family.starter](model, started);
  return started.map(({ request, schedule: { scheduler, begin, stepsRun }, generator }, i) => {
    const { latents, known } = beginnings[i]!;
    const { width, height } = request.pixels;
    return {
      request,
      scheduler,
      generator,
      shape: [latentChannels, height / vaeScale, width / vaeScale],
      conditions: conditionsOf(model, request, prompts[i]!, beginnings[i]!),
      droppedTokens: cutOf('dropped', prompts[i]!, guidanceRows(request, family.rules)),
      beyondClip: cutOf('beyondClip', prompts[i]!, guidanceRows(request, family.rules)),
      embeddings: namedIn(prompts[i]!),
      drawUnseeded: stepsRun > 0 && !drawIsSeeded(model),
      timings: {
        textEncode,
        vaeEncode: performance.now() - start - textEncode,
        denoise: 0,
        vaeDecode: 0,
        safetyCheck: 0,
      },
      known,
      latents,
      index: begin,
      unetCalls: 0,
    };
  });
}

function cutOf(
  which: 'dropped' | 'beyondClip',
  prompts: readonly EncodedPrompt[],
  rows: readonly RowKind[],
): Generation['droppedTokens'] {
  const of = (isPrompt: boolean) => prompts.find((_, i) => (rows[i] === 'prompt') === isPrompt)?.[which] ?? 0;
  return { prompt: of(true), negativePrompt: of(false) };
}

/** Each name once. */
function namedIn(prompts: readonly EncodedPrompt[]): NamedEmbeddings {
  const all = (which: keyof NamedEmbeddings) => [...new Set(prompts.flatMap(({ named }) => named[which]))];
  return { used: all('used'), unfit: all('unfit') };
}
