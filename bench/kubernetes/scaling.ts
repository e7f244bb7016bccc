// A load that rises and falls, and what the real autoscaler does with it in the shipped windows.

import { setTimeout as sleep } from 'node:timers/promises';
import { pathOf } from '../../k8s/control-plane/api.js';
import { Fleet, namespace } from '../../k8s/control-plane/fleet.js';
import { quantile } from '../engine.js';
import { Clients, costs } from './requests.js';

/** Seconds, and how many clients ask then: as many requests are on their way at any time. */
const phases = [
  [60, 2],
  [75, 4],
  [75, 7],
  [150, 10],
  [45, 7],
  [45, 4],
  [Number.POSITIVE_INFINITY, 2],
] as const;

const ends = phases.map((_, i) => phases.slice(0, i + 1).reduce((sum, [seconds]) => sum + seconds, 0));

export interface Sample {
  /** s since the load began. */
  readonly at: number;
  readonly clients: number;
  /** As the autoscaler reads it: load in replicas. Absent without a value. */
  readonly saturation?: number;
  readonly wanted: number;
  readonly ready: number;
}

export interface Scaling {
  readonly samples: readonly Sample[];
  readonly sent: number;
  readonly failed: Readonly<Record<string, number>>;
  readonly p50: number;
  readonly p99: number;
}

/** Ends when the fleet is back at one replica, or after `mostMinutes`. */
export async function scaling(overlay: string, mostMinutes: number, told: (sample: Sample) => void): Promise<Scaling> {
  const fleet = await Fleet.start({ overlay, network: '10.244.2', costs });
  try {
    while (fleet.balancer.ready.length === 0) await sleep(500);
    const begin = performance.now();
    const now = () => (performance.now() - begin) / 1000;
    const clients = () => phases[ends.findIndex((end) => now() < end)]![1];
    const load = new Clients(fleet.balancer.url, Math.max(...phases.map(([, count]) => count)), clients);
    const samples: Sample[] = [];
    for (let rose = false; now() < 60 * mostMinutes; await sleep(5000)) {
      const { spec } = await fleet.api.get(pathOf('apps/v1/deployments', namespace, 'img2img'));
      const saturation = await fleet.prometheus.value('job:img2img_saturation_ratio:sum');
      const ready = fleet.balancer.ready.length;
      const sample = {
        at: now(),
        clients: clients(),
        ...(saturation !== undefined && { saturation }),
        wanted: spec.replicas,
        ready,
      };
      samples.push(sample);
      told(sample);
      rose ||= ready > 1;
      if (rose && ready === 1 && spec.replicas === 1) break;
    }
    const { sent, failed, seconds } = await load.stop();
    return { samples, sent, failed, p50: quantile(seconds, 0.5), p99: quantile(seconds, 0.99) };
  } finally {
    await fleet.close();
  }
}
