// The life of a pod: start, probes, restarts, and its end within the grace period.

import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ApiError, pathOf, type Resource } from '../api.js';
import { end } from '../processes.js';
import type { Addresses } from './addresses.js';
import { NotStarted, startContainer } from './container.js';
import type { KubeletOptions } from './options.js';
import { hook, pause, probe } from './probes.js';
import { type ContainerState, PodStatus } from './status.js';

/** Seconds until a container that ends again is started again: at once, then 10, doubled each time. */
const backoff = (restarts: number) => (restarts === 0 ? 0 : Math.min(300, 10 * 2 ** (restarts - 1)));

export class Pod {
  private readonly status: PodStatus;
  private readonly container: Resource;
  private readonly leaving = new AbortController();
  private readonly abandoned = new AbortController();
  private graceSeconds = 0;
  private child: ChildProcess | undefined;

  constructor(
    private readonly manifest: Resource,
    private readonly options: KubeletOptions,
    private readonly addresses: Addresses,
    private readonly say: (text: string) => void,
  ) {
    [this.container] = manifest.spec.containers;
    this.status = new PodStatus(manifest, options.api);
  }

  get name(): string {
    return this.manifest.metadata.name;
  }

  get process(): number | undefined {
    return this.child?.exitCode === null && this.child.signalCode === null ? this.child.pid : undefined;
  }

  /** The pod is being deleted: it has this long. */
  leave(graceSeconds: number): void {
    this.graceSeconds = graceSeconds;
    this.leaving.abort();
  }

  /** The pod is no more. */
  abandon(): void {
    this.abandoned.abort();
    this.leave(0);
  }

  /** Resolves when nothing is left of it, here and in the API server. */
  async live(): Promise<void> {
    const address = this.addresses.take();
    this.status.address = address;
    for (let restarts = 0; !this.leaving.signal.aborted; restarts++) {
      const state = await this.runContainer(address);
      if (this.leaving.signal.aborted) break;
      const wait = backoff(restarts);
      this.say(`${JSON.stringify(state)}; again in ${wait} s`);
      this.status.ended(state, wait > 0);
      await pause(wait, this.leaving.signal);
    }
    await this.remove();
    this.addresses.release(address);
  }

  /** From the container's start to its end. */
  private async runContainer(address: string): Promise<ContainerState> {
    try {
      this.child = await startContainer(this.manifest, address, this.options);
    } catch (error) {
      if (!(error instanceof NotStarted)) throw error;
      this.status.waiting(error);
      await pause(10, this.leaving.signal);
      return { waiting: { reason: error.reason, message: error.message } };
    }
    const child = this.child;
    const exited = new AbortController();
    child.once('exit', () => exited.abort());
    this.say(`process ${child.pid} on ${address}`);
    this.status.running();
    // A pod that leaves is still asked whether it is ready; the other probes end.
    const probing = this.askProbes(address, exited.signal, AbortSignal.any([exited.signal, this.leaving.signal]));
    await aborted(exited.signal, this.leaving.signal);
    if (!exited.signal.aborted) await this.stop(child, address, exited.signal);
    await probing;
    return {
      terminated: { exitCode: child.exitCode ?? 128 + 9, ...(child.signalCode && { reason: child.signalCode }) },
    };
  }

  private async askProbes(address: string, running: AbortSignal, staying: AbortSignal): Promise<void> {
    const { startupProbe, readinessProbe, livenessProbe } = this.container;
    const ask = (spec: Resource, signal: AbortSignal, told: (ok: boolean) => void) =>
      spec && probe(spec, this.container, address, signal, told);
    const kill = (kind: string) => {
      this.say(`${kind} has failed`);
      this.child?.kill('SIGTERM');
      pause(this.manifest.spec.terminationGracePeriodSeconds, running).then(() => this.child?.kill('SIGKILL'));
    };
    if (startupProbe) {
      const started = new AbortController();
      await ask(startupProbe, AbortSignal.any([staying, started.signal]), (ok) =>
        ok ? started.abort() : kill('startup'),
      );
      if (!started.signal.aborted) return;
    }
    this.status.started();
    if (!readinessProbe) this.status.ready(true);
    await Promise.all([
      ask(readinessProbe, running, (ok) => this.status.ready(ok) && this.say(ok ? 'ready' : 'not ready')),
      ask(livenessProbe, staying, (ok) => ok || kill('liveness')),
    ]);
  }

  /** The hook, SIGTERM, and SIGKILL when the grace period is over. */
  private async stop(child: ChildProcess, address: string, exited: AbortSignal): Promise<void> {
    const { preStop, stopSignal = 'SIGTERM' } = this.container.lifecycle ?? {};
    this.say(`leaves within ${this.graceSeconds} s`);
    const over = AbortSignal.any([exited, this.abandoned.signal, AbortSignal.timeout(1000 * this.graceSeconds)]);
    if (preStop) await hook(preStop, this.container, address, over);
    child.kill(stopSignal);
    await aborted(over);
    if (exited.aborted) this.say(`has ended with ${child.exitCode ?? child.signalCode}`);
    else this.say('is killed');
    await end(child, 'SIGKILL');
  }

  private async remove(): Promise<void> {
    rmSync(join(this.options.processes.folder, 'pods', this.manifest.metadata.uid), { recursive: true, force: true });
    if (this.abandoned.signal.aborted) return;
    await this.status.gone();
    const { namespace, name, uid } = this.manifest.metadata;
    const body = { gracePeriodSeconds: 0, preconditions: { uid } };
    await this.options.api.ask('DELETE', pathOf('v1/pods', namespace, name), body).catch((error) => {
      if (!(error instanceof ApiError)) throw error;
    });
  }
}

function aborted(...signals: AbortSignal[]): Promise<void> {
  const any = AbortSignal.any(signals);
  return new Promise((resolve) => {
    if (any.aborted) resolve();
    any.addEventListener('abort', () => resolve(), { once: true });
  });
}
