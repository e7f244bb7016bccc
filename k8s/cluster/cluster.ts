// A balanced cluster on one machine: replicas of the compiled service, HAProxy in front of them with the shipped configuration,
// and Prometheus scraping them with the shipped rules. Everything listens on loopback only and ends with `close`.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { ruleFile } from '../rules.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const sbin = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };

export interface ClusterOptions {
  readonly replicas: number;
  /** Requests that run at the same time on one replica: what HAProxy's maxconn follows from. */
  readonly slots: number;
  /** Settings of every replica. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Seconds between two scrapes; absent for no Prometheus. */
  readonly scrapeSeconds?: number;
  /** Changes the shipped configuration of HAProxy. */
  readonly balancer?: (text: string) => string;
}

export interface Replica {
  readonly url: string;
  process: ChildProcess;
  /** Log lines since its last start. */
  log: Record<string, unknown>[];
}

export class Cluster {
  readonly replicas: Replica[] = [];
  private readonly others: ChildProcess[] = [];
  private readonly folder = mkdtempSync(join(tmpdir(), 'img2img-cluster-'));
  private constructor(
    private readonly options: ClusterOptions,
    /** Of HAProxy. */
    readonly url: string,
    /** HAProxy's own. */
    readonly balancerMetricsUrl: string,
    readonly prometheusUrl: string | undefined,
  ) {}

  /** Resolves when every replica is in rotation. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const ports = await freePorts(options.replicas + 3);
    const [url, metrics, prometheus, ...replicas] = ports.map((port) => `http://127.0.0.1:${port}`);
    const prometheusUrl = options.scrapeSeconds === undefined ? undefined : prometheus;
    const cluster = new Cluster(options, url!, `${metrics}/metrics`, prometheusUrl);
    try {
      cluster.replicas.push(...replicas.map((each) => cluster.startReplica(each)));
      cluster.startBalancer();
      if (prometheusUrl) cluster.startPrometheus(prometheusUrl);
      await Promise.all(cluster.replicas.map((replica) => cluster.inRotation(replica)));
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  /** Starts the process of a replica that has ended again. */
  restart(replica: Replica): void {
    Object.assign(replica, this.startReplica(replica.url));
  }

  /**
   * Waits until HAProxy sends requests to the replica, or does not any more.
   * @throws Error when the replica ends instead
   */
  async inRotation(replica: Replica, wanted = true): Promise<void> {
    while (((await this.balancerSays(replica, 'server_status', 'state="UP"')) === 1) !== wanted) {
      const { exitCode } = replica.process;
      if (wanted && exitCode !== null) throw new Error(`${replica.url} ended with exit code ${exitCode}`);
      await sleep(100);
    }
  }

  /** Requests that wait in HAProxy for a place at a replica. */
  async queued(): Promise<number> {
    return (await this.balancerSays(undefined, 'backend_current_queue')) ?? 0;
  }

  /** Requests that HAProxy has sent again, to the same replica or another. */
  async triedAgain(): Promise<number> {
    return (await this.balancerSays(undefined, 'backend_retry_warnings_total')) ?? 0;
  }

  /** Requests that HAProxy has sent to replicas and that are not answered. */
  async sent(): Promise<number> {
    const sessions = this.replicas.map((replica) => this.balancerSays(replica, 'server_current_sessions'));
    return (await Promise.all(sessions)).reduce<number>((sum, count) => sum + (count ?? 0), 0);
  }

  /** How often HAProxy has taken the replica out of rotation. */
  async timesOut(replica: Replica): Promise<number> {
    return (await this.balancerSays(replica, 'server_check_up_down_total')) ?? 0;
  }

  /** The value of each series of a query, by its labels as text. */
  async query(expression: string): Promise<Map<string, number>> {
    const result = await this.ask<{ value: [seconds: number, value: string] }>(expression);
    return new Map(result.map(({ metric, value }) => [JSON.stringify(metric), Number(value[1])]));
  }

  /** The raw samples of each series of the last while, oldest first; their times in ms. */
  async samples(metric: string, range: string): Promise<{ at: number; value: number }[][]> {
    const result = await this.ask<{ values: [seconds: number, value: string][] }>(`${metric}[${range}]`);
    return result.map(({ values }) => values.map(([seconds, value]) => ({ at: 1000 * seconds, value: Number(value) })));
  }

  /** The traces that Prometheus has as exemplars of a metric in the last minutes. */
  async tracesOf(metric: string): Promise<(string | undefined)[]> {
    const [start, end] = [Date.now() / 1000 - 600, Date.now() / 1000 + 1];
    const query = new URLSearchParams({ query: metric, start: String(start), end: String(end) });
    const response = await fetch(`${this.prometheusUrl}/api/v1/query_exemplars?${query}`);
    const { data } = (await response.json()) as { data: { exemplars: { labels: Record<string, string> }[] }[] };
    return data.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels.trace_id));
  }

  private async ask<T>(query: string): Promise<(T & { metric: Record<string, string> })[]> {
    const response = await fetch(`${this.prometheusUrl}/api/v1/query?query=${encodeURIComponent(query)}`);
    return ((await response.json()) as { data: { result: (T & { metric: Record<string, string> })[] } }).data.result;
  }

  async close(): Promise<void> {
    const processes = [...this.replicas.map((replica) => replica.process), ...this.others];
    await Promise.all(processes.map(end));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A metric of HAProxy's: of one replica, or of all of them together. */
  private async balancerSays(replica: Replica | undefined, metric: string, label?: string) {
    const server = replica && `server="replica-${this.replicas.indexOf(replica) + 1}"`;
    const labels = [`proxy="${backend}"`, server, label].filter((one) => one !== undefined).join(',');
    const metrics = await fetch(this.balancerMetricsUrl).then(
      (response) => response.text(),
      () => '',
    );
    const series = `\nhaproxy_${metric}{${labels}} `;
    const at = metrics.indexOf(series);
    return at < 0 ? undefined : Number.parseFloat(metrics.slice(at + series.length));
  }

  private startReplica(url: string): Replica {
    const child = spawn(process.execPath, [join(root, 'dist/main.js')], {
      cwd: root,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        DEVICES: 'cpu',
        THREADS: '1',
        MAX_CONCURRENT: String(this.options.slots),
        DRAIN_DELAY_MS: '2000',
        LOG_FORMAT: 'json',
        CACHE_DIR: join(this.folder, 'cache'),
        ...this.options.environment,
        PORT: new URL(url).port,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const log: Record<string, unknown>[] = [];
    let rest = '';
    child.stdout!.on('data', (chunk) => {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop()!;
      log.push(...lines.map((line) => JSON.parse(line)));
    });
    return { url, process: child, log };
  }

  private startBalancer(): void {
    const { slots } = this.options;
    const servers = this.replicas.map(({ url }, i) => `  server replica-${i + 1} ${new URL(url).host}`).join('\n');
    const binds = [this.url, this.balancerMetricsUrl].map((url) => `bind ${new URL(url).host}`);
    const text = balancerConfig()
      .replace(/^ {2}server .*\n(?: {2}server .*\n)*/m, `${servers}\n`)
      .replaceAll(/bind .*/g, () => binds.shift()!)
      .replace(/(default-server .*) maxconn \d+/, `$1 maxconn ${slots + waitingPlaces}`);
    const path = join(this.folder, 'haproxy.cfg');
    writeFileSync(path, (this.options.balancer ?? ((same) => same))(text));
    this.run('haproxy', ['-db', '-f', path]);
  }

  private startPrometheus(url: string): void {
    const interval = `${this.options.scrapeSeconds}s`;
    const rules = join(this.folder, 'rules.yml');
    // A rule group may have an interval of its own; here all follow the scrapes.
    writeFileSync(rules, ruleFile().replaceAll(/interval: .*/g, `interval: ${interval}`));
    const targets = this.replicas.map((replica) => new URL(replica.url).host);
    const config = join(this.folder, 'prometheus.yml');
    writeFileSync(
      config,
      stringify({
        global: { scrape_interval: interval, evaluation_interval: interval },
        rule_files: [rules],
        scrape_configs: [
          { job_name: 'img2img', static_configs: [{ targets, labels: { namespace: 'img2img' } }] },
          { job_name: 'haproxy', static_configs: [{ targets: [new URL(this.balancerMetricsUrl).host] }] },
        ],
      }),
    );
    const options = [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(this.folder, 'data')}`,
      `--web.listen-address=${new URL(url).host}`,
      '--enable-feature=exemplar-storage',
      '--log.level=error',
    ];
    this.run('prometheus', options);
  }

  private run(program: string, options: string[]): void {
    this.others.push(spawn(program, options, { env: sbin, stdio: ['ignore', 'ignore', 'inherit'] }));
  }
}

/** Requests that HAProxy lets wait at a replica beyond its slots. */
export const waitingPlaces = 2;

/** HAProxy's name for them all. */
export const backend = 'img2img';

export const balancerConfig = (): string => readFileSync(new URL('haproxy.cfg', import.meta.url), 'utf8');

/** Those of Debian's programs that are missing here. */
export function missingPrograms(): string[] {
  return ['haproxy', 'prometheus'].filter((program) => spawnSync(program, ['--version'], { env: sbin }).error);
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
