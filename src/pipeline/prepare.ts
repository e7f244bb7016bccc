// Requests -> generations: prompts encoded, starters encoded, latents where their schedules begin.

import type { Img2ImgRequest } from '../img2img-request.js';
import type { NamedEmbeddings } from '../model-facts.js';
import { conditionsOf, promptsOf } from './conditions.js';
import type { Generation } from './generation.js';
import type { Model } from './model.js';
import { TorchGenerator } from './numbers/noise.js';
import type { EncodedPrompt } from './prompts/encoded-prompt.js';
import { encodePrompts } from './prompts/prompts.js';
import { createSchedule } from './schedulers/index.js';
import { noised } from './starters/noised.js';
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
  const beginnings = await noised(model, started);
  return started.map(({ request, schedule: { scheduler, begin, stepsRun }, generator }, i) => {
    const { latents, known } = beginnings[i]!;
    const { width, height } = request.pixels;
    return {
      request,
      scheduler,
      generator,
      shape: [latentChannels, height / vaeScale, width / vaeScale],
      conditions: conditionsOf(model, request, prompts[i]!, beginnings[i]!),
      droppedTokens: {
        prompt: prompts[i]!.at(-1)!.dropped,
        negativePrompt: prompts[i]!.at(-2)?.dropped ?? 0,
      },
      embeddings: namedIn(prompts[i]!),
      drawUnseeded: stepsRun > 0 && !drawIsSeeded(model),
      timings: { textEncode, vaeEncode: performance.now() - start - textEncode, denoise: 0, vaeDecode: 0 },
      known,
      latents,
      index: begin,
      unetCalls: 0,
    };
  });
}

/** Each name once. */
function namedIn(prompts: readonly EncodedPrompt[]): NamedEmbeddings {
  const all = (which: keyof NamedEmbeddings) => [...new Set(prompts.flatMap(({ named }) => named[which]))];
  return { used: all('used'), unfit: all('unfit') };
}
