// What the parts of the bench share: the service on the stand-in device, pictures from it, and what it takes.

import { readdirSync } from 'node:fs';
import { standIn } from '../../test/stand-in/stand-in.js';
import { quantile } from '../figures.js';
import { onePicture, residentMiB, type Server, startServer } from '../server.js';

export interface Part {
  readonly title: string;
  /** What was done, in a sentence. */
  readonly note: string;
  readonly rows: readonly Readonly<Record<string, string | number>>[];
}

/** @param callMs what a UNet call takes, whatever its rows */
export function start(callMs: number, environment: Readonly<Record<string, string>> = {}): Promise<Server> {
  return startServer({
    ...{ MODELS_DIR: 'test/reference', DEVICES: 'cpu', MAX_CONCURRENT: '1', MAX_QUEUE: '10000', LOG_LEVEL: 'info' },
    ...{ REQUEST_TIMEOUT_MS: '600000', WORKER_MODULE: standIn({ callMs: { 1: callMs, 2: callMs } }) },
    ...environment,
  });
}

const starter = new Blob([new Uint8Array(await onePicture())]);

export function form(fields: Readonly<Record<string, string | number>>): FormData {
  const body = new FormData();
  body.append('image', starter, 'starter.png');
  const all = { model: 'tiny', width: 32, height: 32, strength: 1, scheduler: 'ddim', ...fields };
  for (const [name, value] of Object.entries(all)) body.append(name, String(value));
  return body;
}

/** @returns ms */
export async function picture(server: Server, fields: Readonly<Record<string, string | number>>): Promise<number> {
  const begin = performance.now();
  const answer = await fetch(`${server.url}/img2img`, { method: 'POST', body: form(fields) });
  if (!answer.ok) throw new Error(`the service answered ${answer.status}: ${await answer.text()}`);
  await answer.arrayBuffer();
  return performance.now() - begin;
}

/** What others feel: twenty answers of /livez and ten pictures of two steps. */
export async function feel(server: Server): Promise<Readonly<Record<string, number>>> {
  const [livez, pictures]: [number[], number[]] = [[], []];
  for (let i = 0; i < 20; i++) {
    const begin = performance.now();
    await (await fetch(`${server.url}/livez`)).text();
    livez.push(performance.now() - begin);
  }
  for (let i = 0; i < 10; i++) pictures.push(await picture(server, { steps: 2, seed: i }));
  const one = (value: number) => Number(value.toFixed(1));
  return {
    '/livez p95, ms': one(quantile(livez, 0.95)),
    'a picture, median, ms': one(quantile(pictures, 0.5)),
    'slowest, ms': one(Math.max(...pictures)),
    ...taken(server),
  };
}

export function taken(server: Server) {
  const [http] = server.pids() as [number, ...number[]];
  return {
    'memory, MiB': Math.round(residentMiB(http)),
    'file descriptors': readdirSync(`/proc/${http}/fd`).length,
  };
}
