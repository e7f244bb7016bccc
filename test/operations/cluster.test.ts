import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { balancerConfig, Cluster, type Replica, waitingPlaces } from '../../k8s/cluster/cluster.js';
import { readConfig } from '../../src/config.js';
import { missing } from '../programs.js';
import { cottage, form } from '../start.js';

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
function load(url: string, clients: number, fields: Record<string, string | number>) {
  const answers: Answers = { statuses: new Map(), dishonest: 0 };
  let stopped = false;
  const count = (status: number | string) => answers.statuses.set(status, (answers.statuses.get(status) ?? 0) + 1);
  const client = async () => {
    while (!stopped) {
      try {
        const response = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, fields) });
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
const exited = (replica: Replica) => new Promise((resolve) => replica.process.once('exit', resolve));

t.test('the shipped balancer agrees with the settings', async (t) => {
  const text = balancerConfig();
  const config = readConfig({});
  const seconds = (name: string) => 1000 * Number(new RegExp(`timeout ${name} +(\\d+)s`).exec(text)![1]);
  t.ok(seconds('server') > config.REQUEST_TIMEOUT_MS, 'a 504 of the service arrives');
  const [, interval, fall] = /inter (\d+)ms fall (\d+)/.exec(text)!;
  t.ok(config.DRAIN_DELAY_MS > Number(interval) * (Number(fall) + 1), 'a draining replica is seen in time');
  t.equal(Number(/default-server .* maxconn (\d+)/.exec(text)![1]), 1 + waitingPlaces);
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
    const clients = load(cluster.url, 3, quick);
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
  });
});

t.test(
  'Prometheus scrapes the replicas with the shipped rules, and the saturation follows the load',
  { skip },
  async (t) => {
    const scrapeSeconds = 2;
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

    const clients = load(cluster.url, 8, { ...quick, steps: 150 });
    await clients.answered(1);
    const start = performance.now();
    await until('job:img2img_saturation_ratio:avg', (ratio) => ratio >= 1);
    t.pass(`saturated after ${((performance.now() - start) / 1000 / scrapeSeconds).toFixed(1)} scrapes`);
    await clients.stop();
    await until('job:img2img_saturation_ratio:avg', (ratio) => ratio === 0);
    t.pass('and idle again');
  },
);
