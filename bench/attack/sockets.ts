// What an attacker does with a connection: requests that are written whatever the server says, and some that never end.

import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Counts of what became of an attack's requests: a status, or how else they ended. */
export type Outcomes = Map<string, number>;

export interface Target {
  readonly port: number;
  /** Of a caller whom the service knows. */
  readonly key: string;
}

/** Nobody waits longer for an answer. */
const patienceMs = 30_000;

/** Connections that are open, so that an attack can end. */
const open = new Map<Socket, () => void>();

function closeAll(): void {
  for (const close of open.values()) close();
}

/** The head of a request; it asks for the end of the connection. */
export function head(line: string, ...headers: readonly string[]): Buffer {
  return Buffer.from(`${[`${line} HTTP/1.1`, 'Host: img2img', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`);
}

export const authorized = ({ key }: Target) => `Authorization: Bearer ${key}`;

export function json(target: Target, path: string, body: string | Buffer): Buffer[] {
  const bytes = Buffer.from(body);
  const type = ['Content-Type: application/json', `Content-Length: ${bytes.length}`];
  return [head(`POST ${path}`, authorized(target), ...type), bytes];
}

export function upload(target: Target, picture: Buffer, fields: Readonly<Record<string, string>> = {}): Buffer[] {
  const texts = Object.entries(fields).map(
    ([name, value]) => `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const file = '--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n';
  const [before, after] = [Buffer.from(`${texts.join('')}${file}`), Buffer.from('\r\n--x--\r\n')];
  const length = before.length + picture.length + after.length;
  const type = ['Content-Type: multipart/form-data; boundary=x', `Content-Length: ${length}`];
  return [head('POST /img2img', authorized(target), ...type), before, picture, after];
}

export interface Habits {
  /** Closes its side once everything is written. */
  readonly halfClose?: boolean;
  /** Breaks the connection off once everything is written. */
  readonly breakOff?: boolean;
  /** Then a byte more, each time so many ms have passed. */
  readonly dripMs?: number;
}

/** Writes it all, also past an answer. @returns the status, or how else it ended */
export function say(port: number, parts: readonly Buffer[], habits: Habits = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let status: string | undefined;
    let end = 'closed without an answer';
    open.set(socket, () => {
      end = 'still going at the end';
      socket.destroy();
    });
    const patience = setTimeout(() => {
      end = 'no answer in 30 s';
      socket.destroy();
    }, patienceMs);
    let drip: NodeJS.Timeout | undefined;
    socket.on('data', (data) => {
      status ??= /^HTTP\/1\.1 (\d+)/.exec(data.toString('latin1'))?.[1];
    });
    socket.once('end', () => socket.destroy());
    socket.once('error', () => {});
    socket.once('close', () => {
      clearTimeout(patience);
      clearInterval(drip);
      open.delete(socket);
      resolve(status ?? end);
    });
    for (const part of parts) socket.write(part);
    const written = () => {
      if (habits.halfClose) socket.end();
      if (habits.dripMs) drip = setInterval(() => socket.writable && socket.write('a'), habits.dripMs);
      if (!habits.breakOff) return;
      end = 'broken off';
      socket.destroy();
    };
    socket.write('', (error) => error || written());
  });
}

/** So many at a time, the next when one has ended, until the time is up. */
export async function keepSaying(
  atOnce: number,
  until: number,
  one: (i: number) => Promise<string>,
): Promise<Outcomes> {
  const outcomes: Outcomes = new Map();
  let next = 0;
  const callers = Array.from({ length: atOnce }, async () => {
    while (performance.now() < until) {
      const outcome = await one(next++);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (outcome === 'closed without an answer') await sleep(5); // a server that is gone is not asked in a circle
    }
  });
  const over = setTimeout(() => closeAll(), until - performance.now());
  await Promise.all(callers);
  clearTimeout(over);
  return outcomes;
}
