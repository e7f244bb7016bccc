// Processes that end with this one, whatever ends it, and a folder for what they write.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export class Processes {
  readonly folder = mkdtempSync(join(tmpdir(), 'img2img-kubernetes-'));
  private readonly children: { name: string; child: ChildProcess }[] = [];
  private closed = false;

  constructor() {
    mkdirSync(join(this.folder, 'logs'));
  }

  /** Starts a program; what it says goes to `logs/<name>`, after what an earlier one of the name said. */
  run(
    name: string,
    program: string,
    options: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): ChildProcess {
    if (this.closed) throw new Error(`${name} is not started: all is being ended`);
    const log = openSync(join(this.folder, 'logs', name), 'a');
    // The kernel kills it when this process is gone, also when that was killed.
    const child = spawn('setpriv', ['--pdeathsig=KILL', program, ...options], {
      cwd: this.folder,
      env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, HOME: this.folder, ...environment },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.once('error', (error) => console.error(`${name}: ${error.message}`));
    const entry = { name, child };
    this.children.push(entry);
    child.once('exit', () => this.children.splice(this.children.indexOf(entry), 1));
    return child;
  }

  /** What a program has said. */
  logOf(name: string): string {
    return readFileSync(join(this.folder, 'logs', name), 'utf8');
  }

  /**
   * Waits until something holds.
   * @throws Error with the end of the program's log after `seconds`
   */
  async until(what: string, name: string, holds: () => Promise<boolean>, seconds = 60): Promise<void> {
    for (const end = Date.now() + 1000 * seconds; !(await holds().catch(() => false)); await sleep(200)) {
      if (Date.now() > end || this.closed)
        throw new Error(`${what}: not within ${seconds} s\n${this.logOf(name).split('\n').slice(-30).join('\n')}`);
    }
  }

  /** Ends all, the last first, and removes the folder. */
  async close(): Promise<void> {
    this.closed = true;
    for (const { child } of [...this.children].reverse()) await end(child, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

/** Ports of loopback that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
