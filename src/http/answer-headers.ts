// The headers of an answer that is a picture: what ran, and how long each stage took.

import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { Generated } from '../engine/engine.js';
import type { StageTimes } from './metrics.js';
import type { Parameters } from './parameters.js';
import { type Warning, warningCodes } from './warnings.js';

const header = (description: string) => Type.String({ description });
/** Their schemas, for the OpenAPI document. */
export const answerHeaders = {
  'X-Request-Id': header('Names the request in the log'),
  'Img2img-Seed': header('The seed, drawn or given'),
  'Img2img-Strength': header('Strength'),
  'Img2img-Influence': header('Influence in percent'),
  'Img2img-Guidance': header('Guidance scale'),
  'Img2img-Steps': header('Length of the full schedule'),
  'Img2img-Steps-Run': header('Positions of the schedule that were run'),
  'Img2img-Unet-Calls': header('UNet calls'),
  'Img2img-Scheduler': header('Noise scheduler'),
  'Img2img-Model': header('Model'),
  'Img2img-Model-Digest': header('sha256 of the model folder'),
  'Img2img-Size': header('Width x height'),
  'Img2img-Engine': header('What equality of bytes can be expected of: runtime and device'),
  'Img2img-Warnings': header(
    `What was changed or had no effect, as comma-separated codes; absent when there is none. ${Object.entries(
      warningCodes,
    )
      .map(([code, meaning]) => `\`${code}\`: ${meaning}`)
      .join(' ')}`,
  ),
  'Server-Timing': header('Milliseconds per stage'),
};

export function writeHeaders(
  reply: FastifyReply,
  parameters: Parameters,
  result: Generated,
  stageTimes: StageTimes,
  warnings: readonly Warning[],
): void {
  const { model, size, schedule, influence } = parameters;
  const { seed, strength, guidanceScale, steps, scheduler } = parameters.request;
  reply.headers({
    'img2img-seed': seed,
    'img2img-strength': strength,
    'img2img-influence': influence,
    'img2img-guidance': guidanceScale,
    'img2img-steps': steps,
    'img2img-steps-run': schedule.stepsRun,
    'img2img-unet-calls': result.unetCalls,
    'img2img-scheduler': scheduler,
    'img2img-model': encodeURIComponent(model.name),
    'img2img-model-digest': model.digest,
    'img2img-size': `${size.width}x${size.height}`,
    'img2img-engine': result.fingerprint,
    'server-timing': [...Object.entries(stageTimes), ['model_runs', result.modelRunMs] as const]
      .map(([stage, ms]) => `${stage};dur=${ms.toFixed(1)}`)
      .join(', '),
    'cache-control': 'no-store',
    ...(warnings.length > 0 && { 'img2img-warnings': warnings.join(', ') }),
  });
}
