// The first runs of a model that was just loaded: arenas are allocated, kernels chosen, and what calls take and need is
// measured, so that the first request meets a device that is known. Lives in the worker.

import type { Img2ImgRequest } from '../../img2img-request.js';
import * as img2img from '../../pipeline/img2img.js';
import type { Model } from '../../pipeline/model.js';
import type { Capacity, MemoryNeed } from '../shared/capacity.js';
import { isOutOfMemory } from '../shared/faults.js';
import type { Device } from './device.js';
import { type CallTime, measureRowBudget } from './row-budget.js';

export interface Warmth {
  readonly capacities: readonly Capacity[];
  readonly memoryNeeds: readonly MemoryNeed[];
  /** What a call takes more that has another shape than the one before, ms. */
  readonly changeMs?: number;
}

type Call = Capacity['calls'][number];

export interface WarmUpOptions {
  readonly device: Device;
  readonly measureRows: boolean;
}

/** Measuring may take this long; a model whose calls take longer has nothing to gain from more rows. */
const measuringMs = { cpu_time: 1_500, wall_time: 10_000 };
/** The rows' share of it has its own time on a GPU, whose first runs take seconds, as does each change of shape. */
const measuringRowsMs = 20_000;
/** Calls that are timed per number of rows, after one that chooses kernels; the fastest counts, so that what disturbs one does not decide. */
const timedCalls = { cpu_time: 2, wall_time: 5 };
/** Length of the schedule that measured calls walk along: more than are made with one generation. */
const measuredSteps = 40;

/** Runs the sizes that there is time for, and measures what more rows would cost. */
export async function warmUp(model: Model, options: WarmUpOptions): Promise<Warmth> {
  const { kind } = options.device.cost;
  const endOfSizes = performance.now() + measuringMs[kind];
  const { ran, memoryNeeds } = await runSizes(model, endOfSizes, options);
  const end = kind === 'wall_time' ? performance.now() + measuringRowsMs : endOfSizes;
  const { native } = model.folder.size;
  // While there is time: the size that most requests have, then large ones, where more rows cost most.
  const byWorth = ran.toSorted((a, b) => Number(b.side === native) - Number(a.side === native) || b.side - a.side);
  const capacities: Capacity[] = [];
  for (const { side, call } of byWorth) {
    // Where shapes of calls may cost much, what rows cost decides on them, whoever decides on the requests that run.
    const generations: img2img.Generation[] = [];
    const budget =
      options.measureRows || kind === 'wall_time'
        ? await measureRowBudget((rows) => ifItFits(() => timeCalls(model, side, rows, generations, end, options)))
        : { maxRows: 1, calls: [] };
    const maxRows = options.measureRows ? budget.maxRows : undefined;
    capacities.push({ width: side, height: side, maxRows, calls: withCall(budget.calls, call) });
  }
  if (kind === 'cpu_time') return { capacities, memoryNeeds };
  const changeMs = await ifItFits(() => measureChange(model, options));
  return { capacities, memoryNeeds, ...(changeMs !== undefined && { changeMs }) };
}

/** What a call takes more after one of another size, by two requests. They leave the shapes that most requests have. */
async function measureChange(model: Model, options: WarmUpOptions): Promise<number | undefined> {
  const { min, native, max } = model.folder.size;
  const other = [min, max].find((side) => side !== native);
  if (other === undefined) return undefined;
  await runWhole(model, other, options);
  const { firstMs, call } = await runWhole(model, native, options);
  return Math.max(0, firstMs - call.ms);
}

/**
 * In their order, and how many of them whatever they take. A GPU is warm when it has run the size that most requests have. On a CPU
 * a large model takes half a minute for that, so sizes grow from the smallest while there is time; two tell how they grow.
 */
function sizesToRun({ min, native, max }: Model['folder']['size'], cost: Device['cost']) {
  if (cost.kind === 'wall_time') return { sides: [native, max, min], surely: 1 };
  const smaller: number[] = [];
  for (let side = min; side < native; side *= 2) smaller.push(side);
  return { sides: [...smaller, native, max], surely: 2 };
}

/** What one guided request takes and needs, by size: before there are more rows, whose memory an arena would keep. */
async function runSizes(
  model: Model,
  end: number,
  options: WarmUpOptions,
): Promise<{ ran: { side: number; call: Call }[]; memoryNeeds: MemoryNeed[] }> {
  const { native } = model.folder.size;
  const { cost, memory } = options.device;
  const { sides, surely } = sizesToRun(model.folder.size, cost);
  const ran: { side: number; call: Call }[] = [];
  const memoryNeeds: MemoryNeed[] = [];
  const loaded = await memory.used();
  let last: { side: number; ms: number } | undefined;
  for (const side of new Set(sides)) {
    // The pixels' share, and half as much again for attention, which grows faster.
    const expectedMs = last ? 1.5 * last.ms * (side / last.side) ** 2 : 0;
    if (ran.length >= surely && performance.now() + expectedMs > end) continue;
    const start = performance.now();
    memory.forgetPeak();
    const times =
      side > native ? await ifItFits(() => runWhole(model, side, options)) : await runWhole(model, side, options);
    if (!times) continue;
    last = { side, ms: performance.now() - start };
    const peak = await memory.peak();
    // What the arena keeps hides what a smaller size needs.
    if (peak !== undefined && loaded !== undefined && ran.every((before) => side > before.side)) {
      memoryNeeds.push({ pixels: side ** 2, bytes: Math.max(0, peak - loaded) });
    }
    ran.push({ side, call: times.call });
  }
  return { ran, memoryNeeds: memoryNeeds.slice(-2) };
}

/** A guided request, encoders and decoder included: of one step where the first call tells what the others take, else of two. */
async function runWhole(
  model: Model,
  side: number,
  { device }: WarmUpOptions,
): Promise<{ firstMs: number; call: Call }> {
  const steps = device.cost.kind === 'cpu_time' ? 1 : 2;
  const generations = await device.prepare(model, [warmUpRequest(model, side, guided, steps)]);
  const times: number[] = [];
  while (!img2img.isDone(generations[0]!)) {
    const start = performance.now();
    await device.denoise(model, generations);
    times.push(performance.now() - start);
  }
  await device.decode(model, generations);
  return { firstMs: times[0]!, call: { rows: img2img.rowsOf(generations[0]!), ms: times.at(-1)! } };
}

/** More than the memory has room for is more than the device should get. */
async function ifItFits<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    if (isOutOfMemory(error)) return undefined;
    throw error;
  }
}

/**
 * @param generations those of fewer rows; as many are added as it takes
 * @returns undefined when the calls would not end in time
 */
async function timeCalls(
  model: Model,
  side: number,
  rows: number,
  generations: img2img.Generation[],
  end: number,
  { device }: WarmUpOptions,
): Promise<CallTime | undefined> {
  while (generations.length < rows) {
    if (performance.now() > end) return undefined;
    generations.push(...(await device.prepare(model, [warmUpRequest(model, side, unguided, measuredSteps)])));
  }
  let best: CallTime | undefined;
  for (let call = 0; call <= timedCalls[device.cost.kind]; call++) {
    if (performance.now() > end) return undefined;
    const costBefore = device.cost.now();
    const start = performance.now();
    await device.denoise(model, generations);
    const ms = performance.now() - start;
    const cost = device.cost.now() - costBefore;
    if (call > 0 && (!best || cost < best.cost)) best = { rows, ms, cost };
  }
  return best;
}

/** With as many rows as the model's requests have, or with one. */
const guided = { guidanceScale: 2, imageGuidance: 1, trueGuidance: 2 };
const unguided = { guidanceScale: 1 };

function warmUpRequest(
  { folder }: Model,
  side: number,
  guidance: Pick<Img2ImgRequest, 'guidanceScale' | 'imageGuidance' | 'trueGuidance'>,
  steps: number,
): Img2ImgRequest {
  const pixels = { data: new Uint8Array(side ** 2 * 3), width: side, height: side };
  const { scheduler } = folder.defaults;
  return { pixels, prompt: '', negativePrompt: '', strength: 1, ...guidance, steps, scheduler, seed: 0 };
}

function withCall(calls: Capacity['calls'], call: Call): Capacity['calls'] {
  return calls.some(({ rows }) => rows === call.rows) ? calls : [...calls, call];
}
