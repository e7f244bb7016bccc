// Starts what the tests talk to: the app with a real engine on the shipped model, or the whole service as a process.

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import type { Test } from 'tap';
import { engineSettings, readConfig } from '../src/config.js';
import { Engine } from '../src/engine/host/engine.js';
import { buildApp } from '../src/http/app.js';
import type { FieldTable } from '../src/http/pictures/field.js';

const root = fileURLToPath(new URL('..', import.meta.url));
export const stillLife = readFileSync(`${root}docs/pictures/still-life.jpg`);
export const cottage = readFileSync(`${root}docs/pictures/cottage.png`);

/** The app in this process, listening, its engine ready. Both close with the test. */
export async function startApp(t: Test, environment: Record<string, string> = {}, fields?: FieldTable) {
  const config = readConfig({
    MODELS_DIR: `${root}models`,
    DEVICES: 'cpu',
    MAX_CONCURRENT: '1',
    PRELOAD_MODELS: 'none', // a start loads what it needs
    REQUEST_TIMEOUT_MS: '600000',
    ...environment,
  });
  const engine = new Engine(engineSettings(config));
  const lifecycle = { draining: false };
  const logger = pino({ level: 'silent' });
  const { app, metricsApp } = await buildApp({
    config,
    engine,
    logger,
    lifecycle,
    build: { version: 'test', revision: 'a1b2c3' },
    ...(fields && { fields }),
  });
  const ready = new Promise((resolve) => engine.once('ready', resolve));
  engine.start();
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  await ready;
  t.teardown(async () => {
    await app.close();
    await metricsApp?.close();
    await engine.close();
  });
  return { url, app, metricsApp, engine, lifecycle };
}

/** A form with the picture and these fields, as a browser sends it. */
export function form(
  picture: Buffer | undefined,
  fields: Record<string, string | number> = {},
  filename = 'picture',
): FormData {
  const body = new FormData();
  if (picture) body.append('image', new Blob([picture]), filename);
  for (const [name, value] of Object.entries(fields)) body.append(name, String(value));
  return body;
}

export interface Service {
  readonly process: ChildProcess;
  readonly url: string;
  /** Log lines so far. */
  readonly log: Record<string, unknown>[];
  /** The first log line that matches, now or later. */
  logged(matches: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  /** How the process ended: its exit code or the signal. */
  readonly ended: Promise<number | string>;
}

/** `main.ts` as a process of its own, and how it ends. */
export function serviceProcess(environment: Record<string, string>): Pick<Service, 'process' | 'ended'> {
  const child = spawn(process.execPath, ['--import', 'tsx', `${root}src/main.ts`], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PORT: '0',
      DEVICES: 'cpu',
      MAX_CONCURRENT: '1', // nothing to measure at start
      PRELOAD_MODELS: 'none', // and one model to load
      REQUEST_TIMEOUT_MS: '600000', // on a busy machine no request is refused for what it would take
      LOG_FORMAT: 'json',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code!)),
  );
  return { process: child, ended };
}

/** It, ready. Killed with the test. */
export async function startService(t: Test, environment: Record<string, string> = {}): Promise<Service> {
  const { process: child, ended } = serviceProcess(environment);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const log: Record<string, unknown>[] = [];
  const watchers = new Set<() => void>();
  createInterface({ input: child.stdout! }).on('line', (line) => {
    log.push(JSON.parse(line));
    for (const watch of watchers) watch();
  });
  const logged = (matches: (line: Record<string, unknown>) => boolean) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const watch = () => {
        const found = log.find(matches);
        if (!found) return;
        watchers.delete(watch);
        resolve(found);
      };
      watchers.add(watch);
      ended.then(() => reject(new Error(`the service ended; its log: ${JSON.stringify(log)}`)));
      watch();
    });
  const { address } = await logged(({ msg }) => msg === 'ready');
  return { process: child, url: String(address), log, logged, ended };
}

/** The events of a stream that has ended. */
export function events(text: string): { event: string; data: Record<string, unknown> }[] {
  return [...text.matchAll(/^event: (.*)\ndata: (.*)\n\n/gm)].map(([, event, data]) => ({
    event: event!,
    data: JSON.parse(data!),
  }));
}
