// The processes that decode: what ends one, what it costs whom, and who waits for whom.

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { toProblem } from '../../src/http/problems/problems.js';
import { DecodeQueue } from '../../src/image/host/decode-queue.js';
import { type DecoderEnd, PictureReader } from '../../src/image/host/picture-reader.js';
import { missing } from '../programs.js';
import { png } from './files.js';

const size = { width: 64, height: 64 };
const small = png({ width: 16, height: 16 });
/** Takes long, in one process: nine times of nothing. */
const slow = png({ width: 7000, height: 7000, bits: 16, type: 6, interlaced: true, rows: Buffer.alloc(400_000_000) });

function start(t: Tap, settings: Partial<ConstructorParameters<typeof PictureReader>[0]> = {}) {
  const ends: DecoderEnd[] = [];
  const reader = new PictureReader({ maxBytes: 2 ** 31, timeoutMs: 120_000, ...settings }, (end) => ends.push(end));
  t.teardown(() => reader.close());
  const read = (bytes: Buffer, options = {}) =>
    reader.decode(reader.inspect(bytes, 50_000_000), size, 'cover', [0, 0, 0], options);
  return { reader, read, ends };
}
type Tap = Pick<typeof t, 'teardown'>;

t.test('none is started before a picture comes, and all end with the reader', async (t) => {
  const { reader, read } = start(t);
  t.strictSame(reader.status.pids, []);
  await read(small);
  const [pid] = reader.status.pids;
  t.ok(process.kill(pid!, 0), 'it runs');
  await reader.close();
  t.throws(() => process.kill(pid!, 0), { code: 'ESRCH' });
});

t.test('one that is killed from outside costs nobody a picture, and is told', async (t) => {
  const { reader, read, ends } = start(t);
  await read(small);
  const [pid] = reader.status.pids;
  const reading = read(slow);
  await sleep(50);
  process.kill(pid!, 'SIGKILL');
  t.match(await reading, { pixels: size }, 'the picture is decoded in another one');
  t.match(ends, [{ pid, cause: /SIGKILL/ }]);
});

t.test('one idle is killed: the next picture starts another', async (t) => {
  const { reader, read, ends } = start(t);
  await read(small);
  const [pid] = reader.status.pids;
  process.kill(pid!, 'SIGKILL');
  while (ends.length === 0) await sleep(10);
  t.ok(await read(small));
  t.notOk(reader.status.pids.includes(pid!));
});

t.test('a picture that takes too long is refused, and small ones beside it are read', async (t) => {
  const { read, ends } = start(t, { timeoutMs: 300 });
  const patient = start(t);
  await Promise.all([read(small), patient.read(small)].map((one) => one.catch(() => {})));
  const slowly = read(slow);
  slowly.catch(() => {});
  t.ok(await patient.read(small));
  await t.rejects(slowly, { code: 'undecodable_picture', message: /longer than 300 ms.*DECODE_TIMEOUT_MS/ });
  t.strictSame(ends, [], 'that was asked for');
});

t.test('what takes more memory than its header says ends its process, and only that', async (t) => {
  const { reader, read } = start(t);
  const starter = reader.inspect(slow, 50_000_000);
  const lied = { ...starter, header: { ...starter.header, width: 16, height: 16, held: 0 } };
  const lying = reader.decode(lied, size, 'cover', [0, 0, 0]);
  lying.catch(() => {});
  t.ok(await read(small), 'a small one beside it');
  if (process.platform === 'linux') await t.rejects(lying, { code: 'undecodable_picture' });
  t.ok(await read(small), 'and after it');
});

/** How to keep a process from starting. @returns what lets it start again */
const hindrances: Readonly<Record<string, { skip?: string | false; hinder: () => () => void }>> = {
  'that ends while it starts': {
    hinder() {
      const { NODE_OPTIONS = '' } = process.env;
      process.env.NODE_OPTIONS = `${NODE_OPTIONS} --require=./nowhere.cjs`;
      return () => {
        process.env.NODE_OPTIONS = NODE_OPTIONS;
      };
    },
  },
  'that the system does not start': {
    hinder() {
      const { execPath } = process;
      process.execPath = '/nowhere/node';
      return () => {
        process.execPath = execPath;
      };
    },
  },
  'for which there is no descriptor left': {
    skip: missing({ program: 'prlimit', package: 'util-linux' }),
    hinder() {
      const limit = (soft: string) => execFileSync('prlimit', [`--pid=${process.pid}`, `--nofile=${soft}:`]);
      const told = execFileSync('prlimit', [`--pid=${process.pid}`, '--nofile', '--output=SOFT', '--noheadings']);
      const held = Array.from({ length: 40 }, () => openSync('/dev/null', 'r')); // among them room for the last prlimit
      limit(String(Math.max(...readdirSync('/proc/self/fd').map(Number)) + 1));
      try {
        while (true) held.push(openSync('/dev/null', 'r'));
      } catch {
        // All are taken.
      }
      return () => {
        for (const descriptor of held) closeSync(descriptor);
        limit(String(told).trim());
      };
    },
  },
};

for (const [name, { skip = false, hinder }] of Object.entries(hindrances)) {
  t.test(`a process ${name} says nothing of the picture, which may come again`, { skip }, async (t) => {
    await start(t).read(small); // all modules are loaded
    const { read, ends } = start(t);
    const letGo = hinder();
    const reading = await read(small).then(
      () => undefined,
      (error) => error,
    );
    letGo();
    t.match(reading, { code: 'worker_lost', message: 'The process that decodes pictures could not be started.' });
    t.match(toProblem(reading), { code: 'worker_lost', status: 503, more: { retryAfter: 5, errors: undefined } });
    t.equal(ends.length, 2, 'it was tried again, and both are told');
    t.ok(await read(small), 'it is read when it comes again');
  });
}

t.test('what aborts waits no longer, and what it held is free', async (t) => {
  const { reader, read } = start(t);
  await read(small);
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const all = [read(slow, options), read(slow, options), read(slow, options)];
  for (const one of all) one.catch(() => {});
  await sleep(50);
  t.ok(reader.status.waiting > 0, 'some wait');
  controller.abort(new Error('the client left'));
  for (const one of all) await t.rejects(one, /the client left/);
  t.strictSame([reader.status.bytes, reader.status.waiting], [0, 0]);
  t.ok(await read(small));
  await t.rejects(read(small, options), /the client left/, 'one that is over before it begins');
});

t.test('what would take more than the account ever has is refused with its size', async (t) => {
  const { read } = start(t, { maxBytes: 300 * 2 ** 20 });
  await t.rejects(read(slow), { code: 'picture_too_large', message: /would take \d+ MB.*MAX_DECODE_BYTES/ });
});

/** Decodes that end when they are told to. */
function queueOf(places: number, maxBytes: number) {
  const queue = new DecodeQueue(places, maxBytes);
  const running: string[] = [];
  const ends = new Map<string, () => void>();
  const add = (name: string, bytes: number, caller = 'a', signal?: AbortSignal) => {
    const done = queue.run(bytes, { caller, signal }, () => {
      running.push(name);
      return new Promise<void>((resolve) => ends.set(name, resolve));
    });
    done.catch(() => {});
    return done;
  };
  const end = async (name: string) => {
    ends.get(name)!();
    running.splice(running.indexOf(name), 1);
    await sleep(0);
  };
  return { queue, running, add, end };
}

t.test('one place is kept for small pictures, and one for a large one that waits', async (t) => {
  const { running, add, end, queue } = queueOf(2, 1600);
  for (const name of ['large 1', 'large 2']) add(name, 700);
  for (const name of ['small 1', 'small 2', 'small 3']) add(name, 10);
  await sleep(0);
  t.strictSame(running, ['large 1', 'small 1']);
  await end('small 1');
  t.strictSame(running, ['large 1', 'small 2'], 'small ones pass');
  await end('large 1');
  t.strictSame(running, ['small 2', 'large 2'], 'and do not take the place of a large one');
  await end('large 2');
  t.strictSame(running, ['small 2', 'small 3'], 'which they get when none waits');
  t.equal(queue.waiting, 0);
});

t.test('large pictures run together only as far as the account goes', async (t) => {
  const { running, add, end, queue } = queueOf(4, 1600);
  for (const [name, bytes] of [
    ['1', 600],
    ['2', 500],
    ['3', 500],
  ] as const)
    add(name, bytes);
  await sleep(0);
  t.strictSame(running, ['1', '2']);
  t.equal(queue.bytes, 1100);
  await end('1');
  t.strictSame(running, ['2', '3']);
});

t.test('callers take turns', async (t) => {
  const { running, add, end } = queueOf(2, 1600);
  for (const i of [1, 2, 3]) add(`a${i}`, 500, 'a');
  add('b1', 500, 'b');
  await sleep(0);
  // The first two came when nobody else was there, or before b.
  const order = ['a1', 'a2', 'b1', 'a3'];
  for (const [i, name] of order.entries()) {
    t.strictSame(running, [name], `number ${i + 1}`);
    await end(name);
  }
});

t.test('too many that wait are turned away', async (t) => {
  const { add, queue } = queueOf(2, 1600);
  for (let i = 0; i < 258; i++) add(String(i), 10);
  t.equal(queue.waiting, 256);
  await t.rejects(add('one more', 10), { code: 'overloaded' });
});
