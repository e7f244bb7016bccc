// KEDA with the component scale-to-zero, at the shipped pace: Prometheus is away and comes back, the fleet falls asleep and is woken.

import { setTimeout as sleep } from 'node:timers/promises';
import { pathOf, type Resource } from '../../k8s/control-plane/api.js';
import { Fleet, namespace } from '../../k8s/control-plane/fleet.js';
import { Clients, costs, kinds, send } from './requests.js';

/** Seconds of requests before Prometheus is stopped. */
const calmSeconds = 60;
/** What HAProxy's 503 says of the next try. */
const retrySeconds = 10;

export interface Sleeping {
  /** What happened, in its order; s since the fleet stood. */
  readonly events: readonly { readonly what: string; readonly at: number }[];
  /** Of the client that asked while Prometheus was away. */
  readonly away: { readonly sent: number; readonly failed: Readonly<Record<string, number>> };
  /** Of each client that woke the fleet: it comes again when the balancer's answer says so. */
  readonly wakes: readonly Wake[];
}

export interface Wake {
  /** 503s of the balancer. */
  readonly refused: number;
  /** s until the picture was there. */
  readonly seconds: number;
}

export async function sleeping(told: (line: unknown) => void): Promise<Sleeping> {
  const fleet = await Fleet.start({ overlay: 'scale-to-zero', network: '10.244.3', costs });
  try {
    return await new Night(fleet, told).pass();
  } finally {
    await fleet.close();
  }
}

class Night {
  private readonly events: { what: string; at: number }[] = [];
  private readonly begin = performance.now();

  constructor(
    private readonly fleet: Fleet,
    private readonly told: (line: unknown) => void,
  ) {}

  async pass(): Promise<Sleeping> {
    const { fleet } = this;
    // What was never asked for anything falls asleep at once.
    await this.until('none is wanted of the new fleet', 5, async () => (await this.wanted()) === 0);
    await this.until('its pod is gone', 5, async () => (await fleet.pods()).length === 0);
    const wakes = [await this.wake()];

    const load = new Clients(fleet.balancer.url, 1, () => 1);
    const calm = this.now + calmSeconds;
    await this.until(`requests came for ${calmSeconds} s`, 5, async () => this.now > calm);

    await fleet.prometheus.stop();
    this.happened('Prometheus is stopped');
    await this.until('KEDA falls back', 5, async () => (await this.condition('Fallback')) === 'True');
    await this.until('its replicas are ready', 5, async () => fleet.balancer.ready.length === 2);
    await fleet.prometheus.start();
    this.happened('Prometheus is back');
    await this.until('the fallback ends', 5, async () => (await this.condition('Fallback')) === 'False');

    const { sent, failed } = await load.stop();
    this.happened('the last request is answered');
    await this.until('one replica is wanted', 30, async () => (await this.wanted()) === 1);
    await this.until('none is wanted', 30, async () => (await this.wanted()) === 0);
    await this.until('none is ready, and its pod is gone', 5, async () => (await fleet.pods()).length === 0);

    wakes.push(await this.wake());
    return { events: this.events, away: { sent, failed }, wakes };
  }

  /** One client comes, and again as the 503 says, until it has its picture. */
  private async wake(): Promise<Wake> {
    this.happened('a client comes');
    const came = this.now;
    const watching = this.until('one is wanted', 5, async () => (await this.wanted()) === 1).then(() =>
      this.until('it is ready', 5, async () => this.fleet.balancer.ready.length === 1),
    );
    for (let refused = 0; ; refused++) {
      const { status, error } = await send(this.fleet.balancer.url, kinds[0]!);
      if (status === 200) {
        const seconds = this.now - came;
        this.happened('the client has its picture');
        await watching;
        return { refused, seconds };
      }
      if (status !== 503) throw new Error(`The first client got ${status}: ${error}`);
      await sleep(1000 * retrySeconds);
    }
  }

  private get now(): number {
    return (performance.now() - this.begin) / 1000;
  }

  private happened(what: string): void {
    const event = { what, at: this.now };
    this.events.push(event);
    this.told(event);
  }

  /** Looks every second until something holds. @throws Error after so many minutes */
  private async until(what: string, minutes: number, holds: () => Promise<boolean>): Promise<void> {
    const end = this.now + 60 * minutes;
    for (; !(await holds()); await sleep(1000))
      if (this.now > end) throw new Error(`${what}: not within ${minutes} minutes`);
    this.happened(what);
  }

  private async wanted(): Promise<number> {
    return (await this.fleet.api.get(this.fleet.deploymentPath)).spec.replicas;
  }

  /** Of KEDA's own on the ScaledObject: `True`, `False` or `Unknown`. */
  private async condition(type: string): Promise<string | undefined> {
    const { status } = await this.fleet.api.get(pathOf('keda.sh/v1alpha1/scaledobjects', namespace, 'img2img'));
    return status?.conditions?.find((condition: Resource) => condition.type === type)?.status;
  }
}
