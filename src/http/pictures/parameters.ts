// What a request comes to: every default settled, what cannot be refused.

import { randomInt } from 'node:crypto';
import {
  createSchedule,
  type Img2ImgRequest,
  type ModelInfo,
  type Schedule,
  UnsupportedSchedulerError,
} from '../../engine/host/engine.js';
import { parseColour, type Rgb } from '../../image/colour.js';
import { defaultQuality, type Format } from '../../image/encode.js';
import type { Fit, Starter } from '../../image/host/picture-reader.js';
import { coverCuts, outputSize, type Size } from '../../image/size.js';
import { fieldProblem, Problem } from '../problems/problems.js';
import { defaults, type Img2ImgBody, maxSeed } from './fields.js';

export interface Parameters {
  readonly model: ModelInfo;
  /** What the engine gets, but for the pictures. */
  readonly request: Omit<Img2ImgRequest, 'pixels'>;
  readonly schedule: Pick<Schedule, 'stepsRun' | 'unetCalls'>;
  readonly influence: number;
  readonly size: Size;
  /** Share of the starter that is cut off to fill the size: 0 to 1. */
  readonly cropped: number;
  readonly fit: Fit;
  readonly background: Rgb;
  readonly format: Format;
  readonly quality: number;
  readonly embedParameters: boolean;
}

/**
 * One body per picture: picture i has the seed (seed + i) mod 2^32, counted from one that is drawn where none is asked for.
 * @param count of pictures, at least 1
 */
export function eachSeed(body: Img2ImgBody, count: number): Img2ImgBody[] {
  const first = body.seed === undefined || body.seed === -1 ? randomInt(maxSeed + 1) : body.seed;
  return Array.from({ length: count }, (_, i) => ({ ...body, seed: (first + i) % (maxSeed + 1) }));
}

/**
 * @param body with a seed, as eachSeed gives it
 * @param maxPixels of the answer
 * @throws Problem, SizeError
 */
export async function settle(
  body: Img2ImgBody,
  model: ModelInfo,
  starter: Starter,
  maxPixels: number,
): Promise<Parameters> {
  if (body.strength !== undefined && body.influence !== undefined) {
    const detail =
      'strength and influence are two names for one thing (influence = 100 * (1 - strength)); send one of them.';
    throw new Problem('invalid_request', detail, {
      errors: [
        { pointer: '#/strength', detail },
        { pointer: '#/influence', detail },
      ],
    });
  }
  const size = outputSize(starter, body, model.size);
  if (size.width * size.height > maxPixels) {
    const detail = `The answer would have ${size.width} x ${size.height} = ${size.width * size.height} pixels; at most ${maxPixels} are made.`;
    throw fieldProblem('size_not_supported', body.width === undefined ? 'height' : 'width', detail);
  }
  // (100 - influence) / 100 and not 1 - influence / 100: the strength must be the double that a person would write.
  const strength = body.strength ?? (body.influence === undefined ? defaults.strength : (100 - body.influence) / 100);
  const influence = body.influence ?? Number((100 * (1 - strength)).toFixed(6));
  const background = await parseColour(body.background ?? defaults.background);
  if (!background) {
    const detail = `background is ${JSON.stringify(body.background)}; it must be #rgb, #rrggbb or a CSS colour name.`;
    throw fieldProblem('invalid_request', 'background', detail);
  }
  const request = {
    prompt: body.prompt ?? '',
    negativePrompt: body.negative_prompt ?? '',
    strength,
    guidanceScale: body.guidance ?? model.defaults.guidance,
    steps: body.steps ?? model.defaults.steps,
    scheduler: body.scheduler ?? model.defaults.scheduler,
    seed: body.seed ?? 0,
  };
  const { fit = defaults.fit, format = defaults.format } = body;
  const quality = body.quality ?? defaultQuality[format];
  const embedParameters = body.embed_parameters ?? false;
  const schedule = planSchedule(request, model);
  const cropped = fit === 'cover' ? coverCuts(starter, size) : 0;
  return { model, request, schedule, influence, size, cropped, fit, background, format, quality, embedParameters };
}

/** How much of the schedule will run. What the scheduler cannot do for these steps, or this folder, is the request's problem. */
function planSchedule(request: Parameters['request'], model: ModelInfo): Parameters['schedule'] {
  try {
    const { stepsRun, unetCalls } = createSchedule(request, model.schedulerConfig, model.latentConsistency);
    return { stepsRun, unetCalls };
  } catch (error) {
    if (!(error instanceof UnsupportedSchedulerError)) throw error;
    throw fieldProblem(
      'unsupported_combination',
      error.field,
      `The model ${model.name} cannot run the scheduler ${request.scheduler} like this: ${error.message}.`,
    );
  }
}
