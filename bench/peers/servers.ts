// The service and its peers as processes, asked for the same pictures, each in its own words.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { productionPackages } from '../gpu/pack/app.js';
import { residentMiB } from '../server.js';
import { here, type PythonPeer, python, type RandomModel, sdcpp, sizeOf } from './setup.js';

export const peerNames = ['img2img', 'optimum', 'diffusers', 'sdcpp'] as const;
export type PeerName = (typeof peerNames)[number];

/** What all are asked for. */
export interface Asked {
  readonly starter: Buffer;
  readonly side: number;
  readonly prompt: string;
  readonly seed: number;
  readonly steps: number;
  readonly strength: number;
  readonly guidance: number;
}

/** What is asked of: a folder that is shipped, or the random model. */
export interface Workload {
  readonly name: string;
  readonly model: string | RandomModel;
  readonly scheduler: string;
  readonly side: number;
  readonly steps: number;
  readonly strength: number;
  readonly guidance: number;
}

export interface Running {
  readonly name: PeerName;
  readonly startSeconds: number;
  /** @returns ms from the first byte sent to the last one received */
  make(asked: Asked): Promise<number>;
  /** Resident, of its processes together. */
  memoryMiB(): number;
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const startTimeoutMs = 600_000;

/** What an installation takes without Node, Python and models, MB: of ours what `npm ci --omit=dev` brings, and the build. */
export function installMb(name: PeerName, work: string): number {
  // A package in a package's own folder counts with it.
  const packages = () => productionPackages(root).filter((path) => !/node_modules.*node_modules/.test(path));
  const ours = () => [join(root, 'dist'), ...packages()].reduce((sum, path) => sum + sizeOf(path), 0);
  const theirs = () => sizeOf(join(work, name === 'sdcpp' ? 'sdcpp/build/bin' : name));
  return Math.round((name === 'img2img' ? ours() : theirs()) / 1e6);
}

export async function start(name: PeerName, { model, scheduler }: Workload, work: string): Promise<Running> {
  const port = await freePort();
  const random = typeof model === 'string' ? undefined : model;
  const shipped = typeof model === 'string' ? join(root, 'models', model) : undefined;
  const url = `http://127.0.0.1:${port}`;
  const ways = {
    img2img: () => {
      const folder = random ? join(random.file, '..') : join(root, 'models');
      const settings = { PORT: String(port), MODELS_DIR: folder, DEVICES: 'cpu', PRELOAD_MODELS: 'none' };
      const more = {
        REQUEST_TIMEOUT_MS: '3600000',
        CACHE_DIR: join(work, 'cache'),
        LOG_LEVEL: 'warn',
        MAX_QUEUE: '1000',
      };
      const named = random ? 'sd15' : String(model);
      const child = run(process.execPath, [join(root, 'dist/main.js')], { ...settings, ...more, DEFAULT_MODEL: named });
      return {
        child,
        ready: '/readyz',
        make: (asked: Asked) => post(`${url}/img2img`, form(asked, { scheduler, format: 'png' })),
      };
    },
    optimum: () => pythonWay('optimum', random?.optimum ?? shipped!),
    diffusers: () => pythonWay('diffusers', random!.diffusers),
    sdcpp: () => {
      const options = ['-m', random!.file, '--listen-ip', '127.0.0.1', '--listen-port', String(port)];
      const child = run(sdcpp(work), options, {});
      return { child, ready: '/v1/models', make: (asked: Asked) => post(`${url}/sdapi/v1/img2img`, json(asked)) };
    },
  };
  function pythonWay(peer: PythonPeer, folder: string) {
    const child = run(python(work, peer), [here('server.py'), peer, folder, String(port)], { HF_HUB_OFFLINE: '1' });
    return { child, ready: '/ready', make: (asked: Asked) => post(`${url}/img2img`, form(asked, {})) };
  }
  if (name === 'sdcpp')
    sdcpp(work); // built before its start is timed
  else if (name !== 'img2img') python(work, name);
  const begin = performance.now();
  const { child, ready, make } = ways[name]();
  await untilReady(child, `${url}${ready}`);
  return {
    name,
    startSeconds: (performance.now() - begin) / 1000,
    make,
    memoryMiB: () => withChildren(child.pid!).reduce((sum, pid) => sum + residentMiB(pid), 0),
    stop: async () => {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGINT');
      const killer = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await exited;
      clearTimeout(killer);
    },
  };
}

function run(program: string, options: readonly string[], environment: Readonly<Record<string, string>>): ChildProcess {
  return spawn(program, options, {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function untilReady(child: ChildProcess, url: string): Promise<void> {
  const end = performance.now() + startTimeoutMs;
  while (performance.now() < end) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${child.spawnfile} ended`);
    const answer = await fetch(url).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return;
    await sleep(50);
  }
  child.kill('SIGKILL');
  throw new Error(`${child.spawnfile} is not ready after ${startTimeoutMs / 1000} s`);
}

async function post(url: string, init: RequestInit): Promise<number> {
  const request = new Request(url, { method: 'POST', ...init });
  const begin = performance.now();
  const answer = await fetch(request);
  const bytes = await answer.arrayBuffer();
  if (!answer.ok || bytes.byteLength < 1000) throw new Error(`${url} answered ${answer.status}: ${Buffer.from(bytes)}`);
  return performance.now() - begin;
}

function form({ starter, side, ...fields }: Asked, more: Readonly<Record<string, string>>): RequestInit {
  const body = new FormData();
  body.append('image', new Blob([new Uint8Array(starter)]), 'starter.jpg');
  for (const [name, value] of Object.entries({ ...fields, ...more })) body.append(name, String(value));
  if (more.format) for (const name of ['width', 'height']) body.append(name, String(side));
  return { body };
}

function json({ starter, side, prompt, seed, steps, strength, guidance }: Asked): RequestInit {
  const size = { width: side, height: side };
  const body = {
    ...{ init_images: [starter.toString('base64')], prompt, seed, steps, cfg_scale: guidance, ...size },
    ...{ denoising_strength: strength, sampler_name: 'Euler' },
  };
  return { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

/** A process and those that it started. */
function withChildren(pid: number): number[] {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return [];
  const children = readdirSync(tasks).flatMap((task) =>
    readFileSync(`${tasks}/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(withChildren)];
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
