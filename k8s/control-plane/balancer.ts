// HAProxy with the shipped configuration, whose servers are the addresses of EndpointSlices.

import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { backend, balancerConfig, waitingPlaces } from '../cluster/cluster.js';
import { type Api, pathOf, type Resource } from './api.js';
import type { Processes } from './processes.js';

export interface BalancerOptions {
  readonly api: Api;
  readonly processes: Processes;
  readonly namespace: string;
  readonly service: string;
  /** Of clients, and of HAProxy's own metrics. */
  readonly ports: readonly [number, number];
  /** Requests that run at the same time on one replica. */
  readonly slots: number;
  /** Changes the shipped configuration. */
  readonly config?: (text: string) => string;
  /** How late it hears of EndpointSlices, as balancers of real clusters do; its own checks are on time. */
  readonly lateMs?: number;
}

/** As many as any autoscaler here may ask for, and those that leave. */
const places = 16;

export class Balancer {
  readonly url: string;
  readonly metrics: string;
  private readonly socket: string;
  private readonly watch: { stop(): void };
  private closed = false;
  private readonly slices = new Map<string, Resource>();
  /** The address at each of HAProxy's places. */
  private readonly servers: (string | undefined)[] = Array(places).fill(undefined);
  private telling: Promise<unknown> = Promise.resolve();

  constructor(options: BalancerOptions) {
    const { api, processes, namespace, service, ports, slots, config = (same) => same, lateMs = 0 } = options;
    this.url = `http://127.0.0.1:${ports[0]}`;
    this.metrics = `127.0.0.1:${ports[1]}`;
    this.socket = join(processes.folder, 'haproxy.sock');
    const binds = ports.map((port) => `bind 127.0.0.1:${port}`);
    const text = balancerConfig()
      .replace(/^ {2}server .*\n(?: {2}server .*\n)*/m, `  server-template replica- ${places} 0.0.0.0:1 disabled\n`)
      .replace(/^global$/m, `global\n  stats socket ${this.socket} level admin`)
      .replaceAll(/bind .*/g, () => binds.shift()!)
      .replace(/(default-server .*) maxconn \d+/, `$1 maxconn ${slots + waitingPlaces}`);
    const path = join(processes.folder, 'haproxy.cfg');
    writeFileSync(path, config(text));
    processes.run('haproxy', 'haproxy', ['-db', '-f', path]);
    const slicesPath = `${pathOf('discovery.k8s.io/v1/endpointslices', namespace)}?labelSelector=kubernetes.io/service-name=${service}`;
    this.watch = api.watch(slicesPath, async (slice, gone) => {
      if (lateMs > 0) await sleep(lateMs, undefined, { ref: false });
      if (this.closed) return;
      if (gone) this.slices.delete(slice.metadata.uid);
      else this.slices.set(slice.metadata.uid, slice);
      this.follow();
    });
  }

  close(): void {
    this.closed = true;
    this.watch.stop();
  }

  /** Addresses that are ready by the EndpointSlices. */
  get ready(): string[] {
    return this.endpoints().flatMap(({ address, ready }) => (ready ? [address] : []));
  }

  /** A counter of HAProxy's, of all replicas together. */
  async counter(metric: string): Promise<number> {
    const text = await (await fetch(`http://${this.metrics}/metrics`)).text();
    const line = new RegExp(`^haproxy_${metric}\\{proxy="${backend}"\\} (\\S+)$`, 'm').exec(text);
    if (!line) throw new Error(`HAProxy has no ${metric}.`);
    return Number(line[1]);
  }

  private endpoints(): { address: string; ready: boolean }[] {
    return [...this.slices.values()].flatMap(({ endpoints, ports }) =>
      (endpoints ?? []).flatMap(({ addresses, conditions }: Resource) =>
        addresses.map((address: string) => ({ address: `${address}:${ports[0].port}`, ready: conditions.ready })),
      ),
    );
  }

  /** What is ready gets a place; what is there and is not takes no more requests and ends those that it has. */
  private follow(): void {
    const endpoints = this.endpoints();
    const commands: string[] = [];
    for (const [i, address] of this.servers.entries()) {
      if (address === undefined || endpoints.some((one) => one.address === address && one.ready)) continue;
      const there = endpoints.some((one) => one.address === address);
      commands.push(`set server ${backend}/replica-${i + 1} state ${there ? 'drain' : 'maint'}`);
      if (!there) this.servers[i] = undefined;
    }
    for (const { address, ready } of endpoints) {
      if (!ready) continue;
      const [host, port] = address.split(':');
      let i = this.servers.indexOf(address);
      if (i < 0) {
        i = this.servers.indexOf(undefined);
        if (i < 0) throw new Error(`HAProxy has ${places} places, and all are taken.`);
        this.servers[i] = address;
        const server = `${backend}/replica-${i + 1}`;
        commands.push(`set server ${server} addr ${host} port ${port}`, `enable health ${server}`);
      }
      commands.push(`set server ${backend}/replica-${i + 1} state ready`);
    }
    for (const command of commands) this.telling = this.telling.then(() => this.tell(command));
  }

  private tell(command: string): Promise<void> {
    return new Promise((resolve) => {
      let said = '';
      const socket = connect(this.socket, () => socket.end(`${command}\n`));
      socket.on('data', (chunk) => {
        said += chunk;
      });
      socket.on('error', (error) => {
        said = error.message;
      });
      socket.once('close', () => {
        said = said.trim();
        if (said !== '' && !/^(IP|no need|port) /.test(said)) console.error(`HAProxy, ${command}: ${said}`);
        resolve();
      });
    });
  }
}
