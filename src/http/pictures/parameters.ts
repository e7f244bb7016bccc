// What a request comes to: every default settled, what cannot be refused.

import { randomInt } from 'node:crypto';
import {
  createSchedule,
  type Img2ImgRequest,
  type ModelInfo,
  type Schedule,
  UnsupportedSchedulerError,
} from '../../engine/host/engine.js';
import { coverCuts, outputSize, type Size } from '../../image/size.js';
import type { Generator } from '../generators/generator.js';
import { fieldProblem } from '../problems/problems.js';
import type { FieldTable, Settling } from './field.js';
import { maxSeed, type Sent, type Values } from './fields.js';
import { usedLoras } from './lora-list.js';

export interface Parameters {
  /** What runs. */
  readonly model: ModelInfo;
  /** What it runs through; absent for the model alone. */
  readonly generator?: Generator | undefined;
  /** What the fields came to. */
  readonly values: Values;
  /** What of it is told, by the fields' names. */
  readonly told: Readonly<Record<string, unknown>>;
  /** What the engine gets, but for the pictures. */
  readonly request: Omit<Img2ImgRequest, 'pixels'>;
  readonly schedule: Pick<Schedule, 'stepsRun' | 'unetCalls'>;
  readonly size: Size;
  /** Share of the starter that is cut off to fill the size: 0 to 1. */
  readonly cropped: number;
}

/**
 * One body per picture: picture i has the seed (seed + i) mod 2^32, counted from one that is drawn where none is asked for.
 * @param count of pictures
 * @param most that are made
 * @throws Problem for a count that is no number from 1 to the most
 */
export function eachSeed(sent: Sent, count: number, most: number): Sent[] {
  if (!(count >= 1 && count <= most)) {
    throw fieldProblem('invalid_request', 'n', `n is ${count}; it must be from 1 to ${most}.`);
  }
  const first = sent.seed === undefined || sent.seed === -1 ? randomInt(maxSeed + 1) : sent.seed;
  return Array.from({ length: count }, (_, i) => ({ ...sent, seed: (first + i) % (maxSeed + 1) }));
}

/**
 * @param table of all fields
 * @param sent with a seed, as eachSeed gives it
 * @param maxPixels of the answer
 * @throws Problem, SizeError, EngineError
 */
export async function settle(
  table: FieldTable,
  sent: Sent,
  among: Omit<Settling, 'sent' | 'size'>,
  starter: Size,
  maxPixels: number,
): Promise<Parameters> {
  const { model } = among;
  const size = outputSize(starter, sent, model.size);
  if (size.width * size.height > maxPixels) {
    const detail = `The answer would have ${size.width} x ${size.height} = ${size.width * size.height} pixels; at most ${maxPixels} are made.`;
    throw fieldProblem('size_not_supported', sent.width === undefined ? 'height' : 'width', detail);
  }
  const settled: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(table)) {
    settled[name] = await field.settle((sent as Record<string, unknown>)[name], { ...among, sent, size });
  }
  const values = settled as unknown as Values;
  const told = Object.fromEntries(
    Object.entries(settled).filter(([name, value]) => table[name]!.told && value !== undefined),
  );
  const request = requestOf(values);
  const cropped = values.fit === 'cover' ? coverCuts(starter, size) : 0;
  return { model, values, told, request, schedule: planSchedule(request, model), size, cropped };
}

function requestOf(values: Values): Parameters['request'] {
  return {
    loras: usedLoras(values.lora),
    prompt: values.prompt,
    negativePrompt: values.negative_prompt,
    promptSyntax: values.prompt_syntax,
    longPrompts: values.long_prompts,
    strength: values.strength ?? 1,
    guidanceScale: values.guidance,
    imageGuidance: values.image_guidance,
    trueGuidance: values.true_guidance,
    steps: values.steps,
    scheduler: values.scheduler,
    seed: values.seed,
  };
}

/** How much of the schedule will run. What the scheduler cannot do for these steps, or this folder, is the request's problem. */
function planSchedule(request: Parameters['request'], model: ModelInfo): Parameters['schedule'] {
  try {
    const { stepsRun, unetCalls } = createSchedule(request, model.schedulerConfig, model.rules.schedule);
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
