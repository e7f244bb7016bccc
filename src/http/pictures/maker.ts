// The one way to pictures, for every route that makes some: what a client sent -> a plan, every default settled and the
// starter decoded -> the engine -> encoded pictures, with what is to be told about them. Routes translate to it and from it.

import type { Config } from '../../config.js';
import {
  type Engine,
  EngineError,
  type Estimate,
  type Generated,
  type GenerateOptions,
  type JobOutline,
  type ModelInfo,
} from '../../engine/host/engine.js';
import { encode } from '../../image/encode.js';
import {
  type Conversion,
  type DecodedMask,
  type MaskReading,
  PictureError,
  type PictureReader,
  type ReadOptions,
  type Starter,
} from '../../image/host/picture-reader.js';
import type { Size } from '../../image/size.js';
import type { SafetyMode } from '../../model-facts.js';
import type { Pixels } from '../../pixels.js';
import { type Shelf, throughGenerator } from '../generators/shelf.js';
import type { Metrics } from '../metrics/metrics.js';
import { engineEnds } from '../problems/engine-ends.js';
import type { ProblemCode } from '../problems/problem-codes.js';
import { fieldProblem, Problem } from '../problems/problems.js';
import type { Trace } from '../server/trace.js';
import type { FieldTable } from './field.js';
import { limitsOf } from './limits.js';
import type { Made, MadePicture, Order, Plan, PlannedPicture, Uploads } from './making.js';
import { type Parameters, settle } from './parameters.js';
import { ranParameters } from './report.js';
import { stageTimesOf, tellStages } from './stages.js';
import { estimate, generate, isUntouched } from './untouched.js';
import { type Warning, warningsFor } from './warnings.js';

export interface RunOptions extends GenerateOptions {
  /** How long the body took to come in, ms. */
  readonly uploadMs: number;
  /** Whether a request all of whose pictures are kept back is answered with what takes their place. */
  readonly showsBlocked?: boolean | undefined;
  readonly trace: Trace | undefined;
}

/** What plan and run can end with, besides what is wrong with the body itself. */
export const makingProblems = [
  'model_not_found',
  'upload_too_large',
  'unsupported_picture',
  'undecodable_picture',
  'picture_too_large',
  'size_not_supported',
  'too_large_for_device',
  'content_blocked',
  'unsupported_combination',
  'model_not_runnable',
  'lora_not_found',
  'lora_not_runnable',
  'overloaded',
  'deadline_unattainable',
  'internal',
  'request_kills_worker',
  'draining',
  'not_ready',
  'model_changing',
  'worker_lost',
  'deadline_exceeded',
] as const satisfies readonly ProblemCode[];

export interface PlanOptions extends ReadOptions {
  readonly signal: AbortSignal;
  /** As GenerateOptions has it: what cannot be met is refused before anything is decoded. */
  readonly deadline: number;
}

export interface PictureMaker {
  /** @throws Problem, PictureError, SizeError, EngineError for what cannot run; the signal's reason */
  plan(order: Order, uploads: Uploads, options: PlanOptions): Promise<Plan>;
  /** What a plan would meet if it came now. */
  estimate(plan: Plan): Estimate;
  /** Runs all pictures of a plan, or none. @throws EngineError; Problem content_blocked */
  run(plan: Plan, options: RunOptions): Promise<Made>;
}

/** What the making of pictures is made of. */
export interface MakerParts {
  readonly engine: Engine;
  readonly shelf: Shelf;
  readonly reader: PictureReader;
  readonly metrics: Metrics;
}

export function pictureMaker(
  config: Config,
  fields: FieldTable,
  { engine, shelf, reader, metrics }: MakerParts,
): PictureMaker {
  const holdLimits = limitsOf(fields, config);
  const among = (model: ModelInfo) => ({
    model,
    lora: (name: string) => engine.lora(name, model),
    maxLoras: config.MAX_LORAS,
  });
  return {
    async plan({ bodies, maskReading, warnings = [] }, { image, mask }, options) {
      const start = performance.now();
      if (!image) throw fieldProblem('invalid_request', 'image', 'image is missing.');
      for (const body of bodies) holdLimits(body);
      const choices = bodies.map((body) => shelf.choose(body.model));
      if (mask) for (const { name, model } of choices) requireMasks(name, model);
      engine.assertRoom();
      const starter = reader.inspect(image, config.MAX_INPUT_PIXELS);
      const maskPicture = mask && inspectMask(reader, mask, starter, config.MAX_INPUT_PIXELS);
      const settled: Parameters[] = [];
      for (const [i, body] of bodies.entries()) {
        const { model, generator } = choices[i]!;
        const sent = throughGenerator(body, choices[i]!);
        const maxPixels = Math.min(config.MAX_PIXELS, generator?.limits.pixels ?? config.MAX_PIXELS);
        settled.push({ ...(await settle(fields, sent, among(model), starter, maxPixels)), generator });
      }
      engine.assertRoom(outlinesOf(settled), options.deadline);
      const decoded = new Map<
        string,
        Promise<{ pixels: Pixels; mask: Uint8Array | undefined; converted: readonly Conversion[] }>
      >();
      const decodeFor = async ({ size, values }: Parameters) => ({
        ...(await reader.decode(starter, size, values.fit, values.background, options)),
        mask:
          maskPicture &&
          (await maskOf(reader.decodeMask(maskPicture, size, values.fit, maskReading, options), maskReading)),
      });
      const pictures = settled.map(async (parameters, i) => {
        const key = keyOf(parameters.size);
        const decoding = decoded.get(key) ?? decodeFor(parameters);
        decoded.set(key, decoding);
        const { pixels, mask, converted } = await decoding;
        const job = { model: parameters.model.name, request: { ...parameters.request, pixels, mask } };
        const untouched = isUntouched(job);
        return {
          sent: bodies[i]!,
          parameters: untouched ? { ...parameters, schedule: { stepsRun: 0, unetCalls: 0 } } : parameters,
          job,
          converted,
          untouched,
        };
      });
      const planned = await Promise.all(pictures);
      options.signal.throwIfAborted();
      const unchecked = planned.some(({ parameters, untouched }) => !untouched && !parameters.model.safetyChecker);
      const told: readonly Warning[] =
        config.SAFETY_CHECKER === 'flag' && unchecked ? [...warnings, 'safety_unchecked'] : warnings;
      return { pictures: planned, starter, warnings: told, decodeMs: performance.now() - start };
    },

    estimate: (plan) =>
      estimate(
        engine,
        plan.pictures.map(({ job }) => job),
      ),

    async run(plan, { uploadMs, showsBlocked, trace, ...options }) {
      const start = performance.now();
      const seconds = () => (plan.decodeMs + performance.now() - start) / 1000;
      const model = plan.pictures[0]!.parameters.model.name;
      try {
        const results = await generate(
          engine,
          plan.pictures.map(({ job }) => job),
          options,
        );
        const encodeStart = performance.now();
        const pictures = await Promise.all(
          plan.pictures.map((planned, i) => finish(planned, plan.starter, results[i]!, config.SAFETY_CHECKER)),
        );
        const end = performance.now();
        const outside = { upload: uploadMs, decode: plan.decodeMs, encode: end - encodeStart };
        const totalMs = uploadMs + plan.decodeMs + end - start;
        const stageTimes = stageTimesOf(results, outside, totalMs);
        if (trace) tellStages(trace, results, outside, start, encodeStart);
        metrics.generated(
          seconds(),
          stageTimes,
          pictures.map(({ parameters, result }) => ({ model: parameters.model.name, result })),
          trace,
        );
        if (!showsBlocked && pictures.every(({ blocked }) => blocked)) throw allBlocked(pictures.length);
        return {
          pictures,
          stageTimes,
          totalMs,
          modelRunMs: results.reduce((sum, { modelRunMs }) => sum + modelRunMs, 0),
          warnings: [...new Set([...plan.warnings, ...pictures.flatMap(({ warnings }) => warnings)])],
        };
      } catch (error) {
        const outcome = error instanceof EngineError && engineEnds[error.code].outcome;
        if (outcome) metrics.failed(model, seconds(), outcome, trace);
        throw error;
      }
    },
  };
}

/** Pictures of one size share the decoded starter. */
const keyOf = ({ width, height }: Size) => `${width}x${height}`;

/** What is to be made, before anything is decoded: as of the pixels later, those of one size have one object of it. */
function outlinesOf(settled: readonly Parameters[]): JobOutline[] {
  const sizes = new Map(settled.map(({ size }) => [keyOf(size), size]));
  return settled.map(({ model, request, size }) => ({
    model: model.name,
    request: { ...request, pixels: sizes.get(keyOf(size))! },
  }));
}

/** @throws Problem for a model whose pipeline has no inpainting */
function requireMasks(name: string, { kind, rules }: ModelInfo): void {
  if (rules.masks) return;
  const detail = `mask is for models that can keep a part of the starter; ${name} is of the kind ${kind}, which repaints all of it.`;
  throw fieldProblem('unsupported_combination', 'mask', detail);
}

/** A mask is fitted as the starter is, so that it must have its proportions: a pixel more or less is rounding. */
function inspectMask(reader: PictureReader, bytes: Buffer, starter: Starter, maxPixels: number): Starter {
  const mask = aboutMask(() => reader.inspect(bytes, maxPixels));
  const expected = (mask.width * starter.height) / starter.width;
  if (Math.abs(mask.height - expected) <= Math.max(1, mask.width / starter.width)) return mask;
  const detail = `mask is ${mask.width} x ${mask.height}; it must have the proportions of the starter, which is ${starter.width} x ${starter.height}.`;
  throw fieldProblem('unsupported_combination', 'mask', detail);
}

/**
 * Where transparency says what is repainted, a mask without any is a mistake.
 * @returns undefined for one that leaves nothing as it is: that is no mask
 */
async function maskOf(decoding: Promise<DecodedMask>, reading?: MaskReading): Promise<Uint8Array | undefined> {
  const { data, hasAlpha } = await decoding.catch((error) => {
    throw maskProblem(error);
  });
  if (reading?.channel !== 'transparency' || hasAlpha) return data.every((value) => value === 255) ? undefined : data;
  const detail = 'mask has no alpha channel; it must be transparent where the picture is repainted.';
  throw fieldProblem('invalid_request', 'mask', detail);
}

function aboutMask<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw maskProblem(error);
  }
}

function maskProblem(error: unknown): unknown {
  return error instanceof PictureError && error.isOfThePicture
    ? fieldProblem(error.code, 'mask', `mask: ${error.message}`)
    : error;
}

async function finish(
  { sent, parameters, converted, untouched }: PlannedPicture,
  starter: Starter,
  result: Generated,
  safety: SafetyMode,
): Promise<MadePicture> {
  const { values } = parameters;
  const { embed_parameters, strength } = values;
  const bytes = await encode(result.pixels, {
    ...values,
    source: strength === 1 ? 'trainedAlgorithmicMedia' : 'compositeWithTrainedAlgorithmicMedia',
    parameters: embed_parameters ? ranParameters(parameters, result) : undefined,
  });
  return {
    bytes,
    parameters,
    result,
    blocked: safety === 'block' && result.flagged === true,
    warnings: warningsFor(sent, parameters, starter, converted, untouched, result),
  };
}

function allBlocked(count: number): Problem {
  const what = count === 1 ? 'the picture' : `all ${count} pictures`;
  return new Problem(
    'content_blocked',
    `The safety checker flagged ${what}, and this server keeps such pictures back.`,
  );
}
