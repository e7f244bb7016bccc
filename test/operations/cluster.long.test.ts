import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import t from 'tap';
import { backend, balancerConfig, Cluster, type Replica, waitingPlaces } from '../../k8s/cluster/cluster.js';
import { readConfig } from '../../src/config.js';
import { type ProblemCode, problemCodes } from '../../src/http/problems/problem-codes.js';
import { missing } from '../programs.js';
import { standIn } from '../stand-in/stand-in.js';
import { cottage, form } from '../start.js';
import { arrivals } from './autoscaler-queries.js';

const skip = missing('haproxy', 'prometheus');
// A small model of random weights: what counts here is who gets the requests.
const environment = { MODELS_DIR: 'test/reference', LOG_LEVEL: 'warn' };

// What is deployed is the compiled service. tap's loader, which NODE_OPTIONS brings, would break the compiler.
if (!skip) {
  const { status } = spawnSync('env', ['-u', 'NODE_OPTIONS', 'npm', 'run', 'build'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) throw new Error('npm run build fails');
}

interface Answers {
  readonly statuses: Map<number | string, number>;
  /** 429 and 503 without a Retry-After. */
  dishonest: number;
}

/** Clients that ask one request after another until they are stopped. */
function load(url: string, clients: number, fields: Record<string, string | number>, picture = cottage) {
  const answers: Answers = { statuses: new Map(), dishonest: 0 };
  let stopped = false;
  const count = (status: number | string) => answers.statuses.set(status, (answers.statuses.get(status) ?? 0) + 1);
  const client = async () => {
    while (!stopped) {
      try {
        const response = await fetch(`${url}/img2img`, { method: 'POST', body: form(picture, fields) });
        await response.arrayBuffer();
        count(response.status);
        if (response.status !== 200 && !response.headers.has('retry-after')) answers.dishonest++;
        if (response.status !== 200) await sleep(100);
      } catch (error) {
        count((error as Error).message);
      }
    }
  };
  const ended = Promise.all(Array.from({ length: clients }, client));
  return {
    answers,
    async answered(more: number): Promise<void> {
      const total = () => [...answers.statuses.values()].reduce((sum, n) => sum + n, 0);
      for (const goal = total() + more; total() < goal; ) await sleep(50);
    },
    async stop(): Promise<Answers> {
      stopped = true;
      await ended;
      return answers;
    },
  };
}

const quick = { model: 'tiny', width: 32, height: 32, steps: 30, strength: 1 };
const describe = async (response: Response) => ({
  status: response.status,
  retryAfter: response.headers.get('retry-after'),
  problem: response.headers.get('content-type') === 'application/problem+json' && (await response.json()),
});
const exited = (replica: Replica) => new Promise((resolve) => replica.process.once('exit', resolve));

t.test('the shipped balancer agrees with the settings', async (t) => {
  const text = balancerConfig();
  const config = readConfig({});
  const seconds = (name: string) => 1000 * Number(new RegExp(`timeout ${name} +(\\d+)s`).exec(text)![1]);
  t.ok(seconds('server') > config.REQUEST_TIMEOUT_MS, 'a 504 of the service arrives');
  const [, interval, fall] = /inter (\d+)ms fall (\d+)/.exec(text)!;
  t.ok(config.DRAIN_DELAY_MS > Number(interval) * (Number(fall) + 1), 'a draining replica is seen in time');
  t.equal(Number(/default-server .* maxconn (\d+)/.exec(text)![1]), 1 + waitingPlaces);
  t.ok(seconds('queue') <= config.REQUEST_TIMEOUT_MS / 2, 'time is left for the request itself');
  t.equal(Number(/avg_queue\(\w+\) ge (\d+)/.exec(text)![1]), config.MAX_QUEUE);
  for (const [, name] of text.matchAll(/(?:default_backend |avg_queue\()(\w+)/g)) t.equal(name, backend);
  t.match(arrivals, `{proxy="${backend}"}`, 'scale-to-zero asks for this backend');
  t.match(text, new RegExp(`^backend ${backend}$`, 'm'));
  for (const [, status, document] of text.matchAll(/status (\d+) content-type \S+ string '(.*?)'/g)) {
    const { type, code, title } = JSON.parse(document!);
    t.equal(type, `/problems/${code}`, 'the page that explains it');
    t.match(JSON.parse(document!), { title: problemCodes[code as ProblemCode].title, status: Number(status) }, title);
  }
});

t.test('what the balancer itself refuses is a problem document with Retry-After', { skip }, async (t) => {
  const cluster = await Cluster.start({
    replicas: 1,
    slots: 1,
    environment: {
      ...environment,
      DEVICES: 'cpu',
      WORKER_MODULE: standIn({ callMs: { 1: 200, 2: 200 } }),
      REQUEST_TIMEOUT_MS: '600000',
    },
    balancer: (text) => text.replace(/timeout queue .*/, 'timeout queue 1s').replace(/ge \d+/, 'ge 2'),
  });
  t.teardown(() => cluster.close());
  const post = () => fetch(`${cluster.url}/img2img`, { method: 'POST', body: form(cottage, { ...quick, steps: 150 }) });
  const first = [1, 2, 3].map(post);
  while ((await cluster.sent()) < 3) await sleep(20);
  const second = [1, 2].map(post);
  while ((await cluster.queued()) < 2) await sleep(20);
  const full = await post();
  t.match(await describe(full), { status: 429, retryAfter: '2', problem: { code: 'overloaded', status: 429 } });
  for (const late of await Promise.all(second))
    t.match(await describe(late), { status: 503, retryAfter: '10', problem: { code: 'not_ready', status: 503 } });
  const [replica] = cluster.replicas;
  replica!.process.kill('SIGKILL');
  for (const lost of await Promise.all(first))
    t.match(await describe(lost), { status: 503, problem: { code: 'not_ready' } }, 'no other replica is there');
  t.match(await describe(await post()), { status: 503, retryAfter: '10' }, 'nor is any for the next one');
  t.equal((await fetch(`${cluster.url}/metrics`)).status, 503, "the balancer's own metrics are elsewhere");
});

t.test('three replicas behind HAProxy', { skip }, async (t) => {
  const cluster = await Cluster.start({ replicas: 3, slots: 1, environment });
  t.teardown(() => cluster.close());

  await t.test('four times as many clients as slots: every answer is a picture or an honest 429', async (t) => {
    const clients = load(cluster.url, 12, quick);
    await clients.answered(90);
    const { statuses, dishonest } = await clients.stop();
    t.strictSame(
      [...statuses.keys()].filter((status) => status !== 200 && status !== 429),
      [],
      JSON.stringify([...statuses]),
    );
    t.ok(statuses.get(200)! > 0);
    t.equal(dishonest, 0);
  });

  await t.test('a rolling restart of all three under load loses nothing', async (t) => {
    const clients = load(cluster.url, 3, quick);
    for (const replica of cluster.replicas) {
      await clients.answered(10);
      const ended = exited(replica);
      replica.process.kill('SIGTERM');
      t.equal(await ended, 0, 'it ends by itself');
      cluster.restart(replica);
      await cluster.inRotation(replica);
    }
    await clients.answered(10);
    const { statuses } = await clients.stop();
    t.strictSame([...statuses.keys()], [200], JSON.stringify([...statuses]));
  });

  await t.test('kill -9 of a replica under load, five times, loses nothing', async (t) => {
    // The largest that the balancer has in its buffer, as docs/deploy.md states it. Noise cannot be compressed.
    const raw = { width: 576, height: 576, channels: 3 } as const;
    const picture = await sharp(randomBytes(3 * 576 * 576), { raw })
      .png({ compressionLevel: 0 })
      .toBuffer();
    t.ok(picture.length > 990_000 && picture.length < 1_010_000, `${picture.length} bytes`);
    const clients = load(cluster.url, 3, quick, picture);
    for (let i = 0; i < 5; i++) {
      const replica = cluster.replicas[i % 3]!;
      await clients.answered(10);
      const ended = exited(replica);
      replica.process.kill('SIGKILL');
      await ended;
      await cluster.inRotation(replica, false);
      cluster.restart(replica);
      await cluster.inRotation(replica);
    }
    const { statuses } = await clients.stop();
    t.strictSame([...statuses.keys()], [200], JSON.stringify([...statuses]));
    t.ok((await cluster.triedAgain()) > 0, 'some were tried again elsewhere');
  });
});

t.test('a replica whose worker hangs leaves the rotation, comes back, and loses nothing', { skip }, async (t) => {
  const cluster = await Cluster.start({
    replicas: 2,
    slots: 1,
    environment: { ...environment, DEVICES: 'cpu', WORKER_MODULE: standIn(), STEP_TIMEOUT_MS: '2000' },
  });
  t.teardown(() => cluster.close());
  const clients = load(cluster.url, 3, quick);
  for (let i = 0; i < 2; i++) {
    await clients.answered(10);
    const before = await Promise.all(cluster.replicas.map((replica) => cluster.timesOut(replica)));
    const body = form(cottage, { ...quick, prompt: '[hang@3 once]' });
    const hanging = fetch(`${cluster.url}/img2img`, { method: 'POST', body });
    for (;;) {
      const now = await Promise.all(cluster.replicas.map((replica) => cluster.timesOut(replica)));
      if (now.some((times, i) => times > before[i]!)) break;
      await sleep(50);
    }
    t.equal((await hanging).status, 200, 'the replica runs it again with its new worker');
    for (const replica of cluster.replicas) await cluster.inRotation(replica);
  }
  const { statuses } = await clients.stop();
  t.strictSame([...statuses.keys()], [200], JSON.stringify([...statuses]));
  const ends = cluster.replicas.flatMap(({ log }) => log.filter(({ msg }) => /a worker ended/.test(String(msg))));
  t.ok(ends.length >= 2);
  for (const { reason } of ends) t.equal(reason, 'hang');
});

t.test(
  'Prometheus scrapes the replicas with the shipped rules, and the saturation follows the load',
  { skip },
  async (t) => {
    const scrapeSeconds = 3;
    const cluster = await Cluster.start({ replicas: 2, slots: 1, environment, scrapeSeconds });
    t.teardown(() => cluster.close());
    const value = async (expression: string) =>
      [...(await cluster.query(expression).catch(() => new Map<string, number>())).values()][0];
    const until = async (expression: string, holds: (value: number) => boolean) => {
      for (;;) {
        const now = await value(expression);
        if (now !== undefined && holds(now)) return now;
        await sleep(100);
      }
    };
    t.equal(await until('sum(up{job="img2img"})', (up) => up === 2), 2, 'both are scraped');
    t.equal(await until('job:img2img_saturation_ratio:avg', () => true), 0, 'no load');

    /** The second sample of each replica that was taken after a moment. */
    const secondAfter = async (moment: number): Promise<number[]> => {
      for (;;) {
        const series = await cluster.samples('img2img_saturation_ratio', '1m');
        const later = series.map((samples) => samples.filter(({ at }) => at > moment));
        if (later.length === 2 && later.every(({ length }) => length >= 2)) return later.map((of) => of[1]!.value);
        await sleep(100);
      }
    };
    const begun = Date.now();
    const clients = load(cluster.url, 8, { ...quick, steps: 150 });
    for (const ratio of await secondAfter(begun)) t.ok(ratio >= 1, `${ratio}: up within two scrapes`);
    await until('job:img2img_saturation_ratio:avg', (ratio) => ratio >= 1);
    await clients.stop();
    for (const ratio of await secondAfter(Date.now())) t.equal(ratio, 0, 'down again within two');
    await until('job:img2img_saturation_ratio:avg', (ratio) => ratio === 0);
    t.pass('and so does the recorded one');
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const traced = await fetch(`${cluster.url}/img2img`, { method: 'POST', headers, body: form(cottage, quick) });
    t.equal(traced.status, 200);
    while (!(await cluster.tracesOf('img2img_request_duration_seconds_bucket')).includes(traceId)) await sleep(100);
    t.pass('a trace is an exemplar');
    const rate = await until(arrivals, (rate) => rate > 0);
    t.ok(rate > 0, "the balancer's metric that wakes the first replica is there");
  },
);
