// A device that costs, needs and fails as it is told: what a GPU costs can be tried without one, and so can its faults. It runs
// the pipeline on the CPU. A module for WORKER_MODULE, with its costs in the address: `device.js?costs={"callMs":{"1":20}}`.
// JavaScript, so that the compiled service can load it too.

import { createHash } from 'node:crypto';
import { rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** @import { Generation } from '../../src/pipeline/img2img.js' */
/** @import { Device } from '../../src/engine/worker/device.js' */

/**
 * @typedef {object} Costs
 * @property {Readonly<Record<string, number>>} [callMs] What a UNet call takes, ms by rows, interpolated between and
 *   extrapolated beyond; none: what it takes on the CPU.
 * @property {number} [changeMs] What a UNet call takes more whose rows or size are not those of the call before, and
 *   one of the VAE for another width, ms.
 * @property {number} [vaeMs] What one call of the VAE takes, encoding or decoding, ms.
 * @property {number} [memoryBytes] Memory that the device has for requests.
 * @property {number} [bytesPerPixel] What a row needs of it.
 */

/** @typedef {'slow' | 'fail' | 'hang' | 'die' | 'oom' | 'provider' | 'say'} Fault */

/** What `slow` adds to a call, ms. */
const slowMs = 5000;

/**
 * What a prompt asks for, as `[hang@3]`: at UNet call 3 of the request, counted from 0. `[die@3 once]` spares the request
 * when it comes again. `[say 0badc0de@3]` writes these bytes where the worker's messages go.
 * @param {string} prompt
 * @param {number} call
 * @returns {{ fault: Fault, bytes: string, once: boolean } | undefined}
 */
export function faultAt(prompt, call) {
  const match = /\[(slow|fail|hang|die|oom|provider|say)(?: ([0-9a-f]+))?@(\d+)( once)?\]/.exec(prompt);
  if (!match || Number(match[3]) !== call) return undefined;
  return { fault: /** @type {Fault} */ (match[1]), bytes: match[2] ?? '', once: match[4] !== undefined };
}

/**
 * ms of a UNet call with so many rows, from a table.
 * @param {Readonly<Record<string, number>>} table
 * @param {number} rows
 */
export function costOf(table, rows) {
  const entries = Object.entries(table)
    .map(([key, ms]) => /** @type {[number, number]} */ ([Number(key), ms]))
    .sort(([a], [b]) => a - b);
  const above = entries.findIndex(([key]) => key >= rows);
  const [first] = entries;
  if (first && above === 0) return first[1];
  const [low, high] = above < 0 ? entries.slice(-2) : entries.slice(above - 1, above + 1);
  if (!low || !high) throw new Error('A table of costs needs two numbers of rows.');
  return low[1] + ((high[1] - low[1]) * (rows - low[0])) / (high[0] - low[0]);
}

/** @type {Costs} */
const costs = JSON.parse(new URL(import.meta.url).searchParams.get('costs') ?? '{}');

/**
 * @param {Device} device
 * @returns {Device}
 */
export default function standIn(device) {
  const { callMs, changeMs = 0, vaeMs = 0, memoryBytes, bytesPerPixel } = costs;
  const memory = bytesPerPixel === undefined ? undefined : new PretendedMemory(bytesPerPixel, memoryBytes);
  // Calls take at least what the table says, and longer on a busy machine: what they cost is the table's figure alone.
  let cost = 0;
  let shape = '';
  let vaeWidth = 0;
  const vaeChange = (width = 0) => {
    const changed = width !== vaeWidth;
    vaeWidth = width;
    return changed ? changeMs : 0;
  };
  return {
    async prepare(model, requests) {
      return lasting(vaeMs + vaeChange(requests[0]?.pixels.width), () => device.prepare(model, requests));
    },
    async denoise(model, generations, rowsPerCall) {
      for (const generation of generations) await suffer(generation);
      memory?.take(generations);
      const rows = generations.reduce((sum, { conditions }) => sum + conditions.length, 0);
      const perCall = rowsPerCall ?? rows;
      const before = shape;
      shape = `${perCall} of ${generations[0]?.shape}`;
      const calls = callMs ? Math.ceil(rows / perCall) * costOf(callMs, perCall) : 0;
      const ms = calls + (shape === before ? 0 : changeMs);
      await lasting(ms, () => device.denoise(model, generations, rowsPerCall));
      cost += ms;
    },
    async decode(model, generations) {
      const ms = vaeMs + vaeChange(generations[0]?.request.pixels.width);
      return lasting(ms, () => device.decode(model, generations));
    },
    cost: callMs ? { kind: 'wall_time', now: () => cost } : device.cost,
    memory: memory ?? device.memory,
  };
}

/** Keeps what it has given, as onnxruntime's arenas do. */
class PretendedMemory {
  /** The most of any call. */
  kept = 0;
  /** The most since forgetPeak. */
  most = 0;

  /**
   * @param {number} bytesPerPixel
   * @param {number} [bytes] absent: as much as the machine has
   */
  constructor(bytesPerPixel, bytes) {
    this.bytesPerPixel = bytesPerPixel;
    this.bytes = bytes;
  }

  /** @param {readonly Generation[]} generations of one call */
  take(generations) {
    const need = generations.reduce((sum, { request, conditions }) => {
      const { width, height } = request.pixels;
      return sum + this.bytesPerPixel * width * height * conditions.length;
    }, 0);
    if (this.bytes !== undefined && need > this.bytes) throw new Error('The stand-in is out of memory.');
    this.most = Math.max(this.most, need);
    this.kept = Math.max(this.kept, need);
  }

  async used() {
    return 0;
  }

  forgetPeak() {
    this.most = 0;
  }

  async peak() {
    return this.most;
  }

  free() {
    return this.bytes === undefined ? undefined : this.bytes - this.kept;
  }
}

/** @param {Generation} generation */
async function suffer({ request, unetCalls }) {
  const asked = faultAt(request.prompt, unetCalls);
  if (!asked || (asked.once && cameBefore(`${request.prompt} ${request.seed}`))) return;
  switch (asked.fault) {
    case 'slow':
      await sleep(slowMs);
      return;
    case 'fail':
      throw new Error('The stand-in was told to fail.');
    case 'oom':
      throw new Error('The stand-in was told to be out of memory.');
    case 'provider':
      throw new Error('CUDA failure 700: the stand-in was told to break its execution provider.');
    case 'die':
      process.kill(process.pid, 'SIGKILL');
      return;
    case 'say':
      writeSync(3, Buffer.from(asked.bytes, 'hex'));
      return;
    case 'hang':
      for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); // as a run that does not return
  }
}

/**
 * Whether a request of this service came before; the second time forgets the first. A worker that ended remembers nothing, so
 * that a file has to.
 * @param {string} request
 */
function cameBefore(request) {
  const file = join(tmpdir(), `img2img-stand-in-${process.ppid}-${createHash('sha256').update(request).digest('hex')}`);
  try {
    writeFileSync(file, '', { flag: 'wx' });
    return false;
  } catch {
    rmSync(file);
    return true;
  }
}

/**
 * @template T
 * @param {number} ms
 * @param {() => Promise<T>} run
 */
async function lasting(ms, run) {
  const end = performance.now() + ms;
  const result = await run();
  const left = end - performance.now();
  if (left > 0) await sleep(left);
  return result;
}
