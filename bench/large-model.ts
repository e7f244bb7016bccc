// Loads a folder of Stable Diffusion 1.5's real dimensions (random weights, external data), runs a guided step of 256 x 256,
// unloads it, and reports time and memory. A child does the work: its environment decides whether memory returns.

import { fork } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decode, denoise, prepare } from '../src/pipeline/img2img.js';
import { loadModel } from '../src/pipeline/model.js';
import { stableDiffusion15, writeStableDiffusion } from './graphs/stable-diffusion.js';

const gib = 2 ** 30;
const side = 256;

/** Of /proc/self/status, in GiB. */
function memory(key: 'VmHWM' | 'RssAnon' | 'VmRSS'): number {
  const [, kib] = new RegExp(`${key}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))!;
  return (Number(kib) * 1024) / gib;
}

async function measure(folder: string): Promise<void> {
  const report = (what: string, ms?: number) =>
    console.log(
      `| ${what} | ${ms === undefined ? '' : `${(ms / 1000).toFixed(1)} s`} | ${memory('RssAnon').toFixed(2)} GiB | ${memory('VmHWM').toFixed(2)} GiB |`,
    );
  const threads = availableParallelism();
  console.log('| | time | anonymous memory after | peak, mapped files included |\n| --- | --- | --- | --- |');
  report('before');
  let start = performance.now();
  const model = await loadModel(folder, { provider: 'cpu', threads, cacheDir: join(folder, 'cache') });
  report('load', performance.now() - start);
  const request = {
    prompt: 'red',
    negativePrompt: '',
    strength: 1,
    guidanceScale: 7.5,
    steps: 1,
    scheduler: 'ddim',
    seed: 1,
  } as const;
  const pixels = { data: new Uint8Array(3 * side ** 2).fill(128), width: side, height: side };
  start = performance.now();
  const generations = await prepare(model, [{ ...request, pixels }]);
  report('encode prompts and starter', performance.now() - start);
  start = performance.now();
  await denoise(model, generations);
  report('one guided step (two rows)', performance.now() - start);
  start = performance.now();
  const [picture] = await decode(model, generations);
  report('decode', performance.now() - start);
  if (picture?.data.length !== 3 * side ** 2) throw new Error('no picture');
  for (const session of Object.values(model.sessions)) await session.release();
  report('unload');
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'img2img-large-'));
  try {
    const parameters = writeStableDiffusion(folder, stableDiffusion15);
    const bytes = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((name) => statSync(join(folder, name)))
      .reduce((sum, stat) => sum + stat.size, 0);
    console.log(`UNet: ${(parameters / 1e6).toFixed(1)} million parameters; folder: ${(bytes / gib).toFixed(2)} GiB\n`);
    const env = { ...process.env, ORT_DISABLE_TELEMETRY: '1', MALLOC_MMAP_THRESHOLD_: '131072' }; // as the engine's workers
    const child = fork(fileURLToPath(import.meta.url), [folder], { env });
    const code = await new Promise((resolve) => child.once('exit', (exit, signal) => resolve(signal ?? exit)));
    if (code !== 0) throw new Error(`the measuring process ended with ${code}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [, , folder] = process.argv;
await (folder === undefined ? main() : measure(folder));
