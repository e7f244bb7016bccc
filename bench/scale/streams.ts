import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../figures.js';
import type { Server } from '../server.js';
import { form, type Part, start, taken } from './service.js';

const count = 1000;
/** Uploads that are decoded at the same time: a crowd of more than 256 is refused before it waits for a worker. */
const opening = 32;
const steps = 2;
/** So long that all are open before many have ended. */
const callMs = 60;

interface Ended {
  readonly status: number;
  readonly events: readonly string[];
}

/** Streams of requests that all wait at once, until each has its picture. */
export async function eventStreams(): Promise<Part> {
  const server = await start(callMs, { DEVICES: 'cpu*2', HEARTBEAT_MS: '1000', THREADS: '1' });
  const bodies = await Promise.all(Array.from({ length: count }, (_, seed) => written({ steps, seed })));
  const before = taken(server);
  const livez: number[] = [];
  let over = false;
  const probe = (async () => {
    while (!over) {
      const begin = performance.now();
      await (await fetch(`${server.url}/livez`)).text();
      livez.push(performance.now() - begin);
      await sleep(50);
    }
  })();
  let [open, mostOpen] = [0, 0];
  let most = before;
  const begin = performance.now();
  const ends: Promise<Ended>[] = [];
  const opener = async () => {
    for (let body = bodies.pop(); body; body = bodies.pop()) {
      const { queued, ended } = stream(server, body);
      ends.push(ended.finally(() => open--));
      await queued;
      mostOpen = Math.max(mostOpen, ++open);
      const now = taken(server);
      if (now['memory, MiB'] > most['memory, MiB']) most = now;
    }
  };
  await Promise.all(Array.from({ length: opening }, opener));
  const openedSeconds = (performance.now() - begin) / 1000;
  const streams = await Promise.all(ends);
  const seconds = (performance.now() - begin) / 1000;
  over = true;
  await probe;
  await sleep(1000);
  const rows = [
    {
      streams: count,
      'open at once': mostOpen,
      'opened after, s': Number(openedSeconds.toFixed(1)),
      refused: streams.filter(({ status }) => status !== 200).length,
      'ended with a picture': streams.filter(({ events }) => events.includes('image') && events.at(-1) === 'done')
        .length,
      'all after, s': Number(seconds.toFixed(1)),
      '/livez p99, ms': Number(quantile(livez, 0.99).toFixed(1)),
      'memory before, MiB': before['memory, MiB'],
      most: most['memory, MiB'],
      afterwards: taken(server)['memory, MiB'],
      'file descriptors, most': most['file descriptors'],
    },
  ];
  await server.stop();
  const note = `Requests of ${steps} steps of ${callMs} ms on two workers, opened ${opening} at a time; a heartbeat each second. \`/livez\` is asked by the process that reads the streams.`;
  return { title: 'Event streams', note, rows };
}

interface Written {
  readonly type: string;
  readonly body: Buffer;
}

async function written(fields: Readonly<Record<string, number>>): Promise<Written> {
  const answer = new Response(form(fields));
  return { type: answer.headers.get('content-type')!, body: Buffer.from(await answer.arrayBuffer()) };
}

/** `queued` settles with the first event, or with an answer that is no stream. */
function stream(server: Server, { type, body }: Written): { queued: Promise<void>; ended: Promise<Ended> } {
  const headers = { accept: 'text/event-stream', 'content-type': type, 'content-length': body.length };
  let isQueued = () => {};
  const queued = new Promise<void>((resolve) => {
    isQueued = resolve;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    const sent = request(`${server.url}/img2img`, { method: 'POST', agent: false, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        text += chunk;
        isQueued();
      });
      answer.on('error', reject);
      answer.on('end', () => {
        isQueued();
        resolve({
          status: answer.statusCode!,
          events: [...text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name!),
        });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
  return { queued, ended };
}
