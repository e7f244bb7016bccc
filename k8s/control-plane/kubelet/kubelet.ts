// A small stand-in for the kubelets of all nodes: every pod that the scheduler puts on one becomes a process with an address of its
// own. What is done to it, and when, comes from the pod's spec. It is the only one that writes a pod's status.

import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathOf, type Resource } from '../api.js';
import { Addresses } from './addresses.js';
import type { KubeletOptions } from './options.js';
import { Pod } from './pod.js';

export class Kubelet {
  private readonly pods = new Map<string, Pod>();
  private readonly addresses: Addresses;
  private readonly watch: { stop(): void };
  private readonly lives = new Set<Promise<void>>();

  constructor(readonly options: KubeletOptions) {
    this.addresses = new Addresses(options.network);
    this.watch = options.api.watch(`${pathOf('v1/pods')}?fieldSelector=spec.nodeName!=`, (pod, gone) =>
      this.changed(pod, gone),
    );
  }

  /** The process of a pod, while it has one. */
  processOf(name: string): number | undefined {
    return [...this.pods.values()].find((pod) => pod.name === name)?.process;
  }

  /** Forgets all pods; their processes end at once. */
  async close(): Promise<void> {
    this.watch.stop();
    for (const pod of this.pods.values()) pod.abandon();
    await Promise.all(this.lives);
    this.addresses.close();
  }

  private changed(manifest: Resource, gone: boolean): void {
    const { uid, name } = manifest.metadata;
    let pod = this.pods.get(uid);
    if (gone) {
      pod?.abandon();
      this.pods.delete(uid);
      return;
    }
    if (!pod) {
      const say = (text: string) => this.say(`${name}: ${text}`);
      pod = new Pod(manifest, this.options, this.addresses, say);
      this.pods.set(uid, pod);
      // Until it is gone from the API server too: what still comes of it must not start it once more.
      const life = pod.live().then(() => {
        this.lives.delete(life);
      });
      this.lives.add(life);
    }
    if (manifest.metadata.deletionTimestamp) pod.leave(manifest.metadata.deletionGracePeriodSeconds);
  }

  private say(text: string): void {
    appendFileSync(join(this.options.processes.folder, 'logs/kubelet'), `${new Date().toISOString()} ${text}\n`);
  }
}
