// The whole service as processes of its own, for benches that look at them from outside.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

export interface Server {
  readonly url: string;
  /** Of the HTTP process, then of the workers. */
  pids(): number[];
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * The compiled service, all its workers ready.
 * @param dist the folder of another build
 * @param started told of the HTTP process as soon as there is one
 */
export async function startServer(
  environment: Record<string, string>,
  dist = `${root}dist`,
  started: (pid: number) => void = () => {},
): Promise<Server> {
  const child = spawn(process.execPath, [`${dist}/main.js`], {
    cwd: root,
    env: { ...process.env, PORT: '0', LOG_FORMAT: 'json', LOG_LEVEL: 'info', DRAIN_DELAY_MS: '0', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started(child.pid!);
  const workers = new Map<number, number>();
  let url = '';
  const lines = createInterface({ input: child.stdout });
  const wanted = Number(/\*(\d+)$/.exec(environment.DEVICES ?? '')?.[1] ?? 1);
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the server ended')));
    lines.on('line', (line) => {
      const { msg, address, worker, workerPid: pid } = JSON.parse(line);
      if (msg === 'ready') url = address;
      if (msg === 'a worker is ready') workers.set(worker, pid); // the worker's: it comes after the logger's own
      if (url !== '' && workers.size === wanted) resolve();
    });
  });
  return {
    url,
    pids: () => [child.pid!, ...[...workers.keys()].sort().map((worker) => workers.get(worker)!)],
    stop: async () => {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGINT');
      await exited;
    },
  };
}

/** Resident memory of a process that runs on this machine. */
export const residentMiB = (pid: number): number => statusMiB(pid, 'VmRSS');

/** Without what is mapped from files, which the system takes back when it needs room. */
export const anonymousMiB = (pid: number): number => statusMiB(pid, 'RssAnon');

/** The most that it ever had. */
export const peakMiB = (pid: number): number => statusMiB(pid, 'VmHWM');

function statusMiB(pid: number, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
}

/** Looks at the children of a process, and keeps the most that one of them had without what is mapped from files, MiB. */
export class AnonymousPeak {
  mib = 0;
  private readonly timer: NodeJS.Timeout;

  /** @param everyMs how often it looks */
  constructor(parent: number, everyMs = 50) {
    this.timer = setInterval(() => {
      for (const pid of childrenOf(parent)) this.mib = Math.max(this.mib, anonymousOf(pid));
    }, everyMs).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);

/** 0 for one that has ended. */
function anonymousOf(pid: number): number {
  try {
    return anonymousMiB(pid);
  } catch {
    return 0;
  }
}

export async function onePicture(): Promise<Buffer> {
  return sharp({ create: { width: 64, height: 64, channels: 3, background: '#c63' } })
    .png()
    .toBuffer();
}
