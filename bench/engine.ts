// What the engine's benches share: engines on the stand-in device with the small model of the reference numbers, requests,
// and figures.

import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Engine, type EngineSettings, type Generated, type Img2ImgRequest } from '../src/engine/host/engine.js';
import { standIn } from '../test/stand-in/stand-in.js';

export { quantile, randoms } from './figures.js';

export const forever = new AbortController().signal;
setMaxListeners(0, forever);

/** A GPU's cost of a UNet call by rows, ms (SGLang's figures for Qwen-Image at 512 x 512 on an H200, scaled). */
export const gpuTable = { 1: 16.7, 2: 18.3, 4: 24.0, 8: 42.5, 16: 83.2 };

export async function startEngine(settings: Partial<EngineSettings>): Promise<Engine> {
  const engine = new Engine({
    modelsDir: 'test/reference',
    cacheDir: 'cache',
    devices: 'cpu',
    threads: 1,
    maxConcurrent: undefined,
    maxQueue: 10_000,
    maxPictureBytes: 2 ** 30,
    stepTimeoutMs: 60_000,
    modelMemoryBytes: undefined,
    workerModule: standIn(),
    ...settings,
  });
  const ready = new Promise((resolve) => engine.once('ready', resolve));
  engine.start();
  await ready;
  return engine;
}

const side = 32;
export function request(seed: number, change: Partial<Img2ImgRequest> = {}): Img2ImgRequest {
  return {
    pixels: { data: new Uint8Array(side * side * 3).map((_, i) => (i * 31 + seed) % 256), width: side, height: side },
    prompt: 'comic',
    negativePrompt: '',
    strength: 0.6,
    guidanceScale: 5,
    steps: 20,
    scheduler: 'dpmpp_2m',
    seed,
    ...change,
  };
}

export async function generate(engine: Engine, request: Img2ImgRequest, signal = forever): Promise<Generated> {
  return (await engine.generate([{ model: 'tiny', request }], { signal }))[0]!;
}

export function machine(command: string): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const date = new Date().toISOString().slice(0, 10);
  return `\`${command}\` on ${date}: img2img ${version}, ${cpus().length} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}, no GPU.`;
}
