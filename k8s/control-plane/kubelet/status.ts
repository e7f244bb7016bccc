// A pod's status as its kubelet writes it, one write after the other.

import { type Api, ApiError, pathOf, type Resource } from '../api.js';

export interface ContainerState {
  readonly waiting?: { reason: string; message?: string };
  readonly running?: { startedAt: string };
  readonly terminated?: { exitCode: number; reason?: string };
}

const now = () => new Date().toISOString().replace(/\.\d+Z/, 'Z');

export class PodStatus {
  address = '';
  private isReady = false;
  private isStarted = false;
  private restarts = 0;
  private state: ContainerState = { waiting: { reason: 'ContainerCreating' } };
  private since = now();
  private readonly startTime = now();
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly pod: Resource,
    private readonly api: Api,
  ) {}

  waiting({ reason, message }: { reason: string; message: string }): void {
    this.state = { waiting: { reason, message } };
    this.write();
  }

  running(): void {
    this.state = { running: { startedAt: now() } };
    this.write();
  }

  started(): void {
    this.isStarted = true;
    this.write();
  }

  /** @returns whether that is new */
  ready(ready: boolean): boolean {
    if (ready === this.isReady) return false;
    this.isReady = ready;
    this.since = now();
    this.write();
    return true;
  }

  /** The container has ended and is started again, at once or after a while. */
  ended(state: ContainerState, waits: boolean): void {
    if (state.terminated) this.restarts++;
    this.isStarted = false;
    this.state = waits ? { waiting: { reason: 'CrashLoopBackOff' } } : state;
    if (!this.ready(false)) this.write();
  }

  /** The container has ended for ever. Resolves when all is written. */
  async gone(): Promise<void> {
    this.isStarted = false;
    this.state = { terminated: { exitCode: 0 } };
    if (!this.ready(false)) this.write();
    await this.writing;
  }

  private write(): void {
    const { namespace, name, uid } = this.pod.metadata;
    const [container] = this.pod.spec.containers;
    const condition = (type: string, holds: boolean) => ({
      type,
      status: holds ? 'True' : 'False',
      lastTransitionTime: holds === this.isReady ? this.since : this.startTime,
    });
    const status = {
      phase: this.state.running || this.restarts > 0 ? 'Running' : 'Pending',
      startTime: this.startTime,
      podIP: this.address,
      podIPs: [{ ip: this.address }],
      conditions: [
        condition('Initialized', true),
        condition('PodReadyToStartContainers', true),
        condition('ContainersReady', this.isReady),
        condition('Ready', this.isReady),
      ],
      containerStatuses: [
        {
          name: container.name,
          image: container.image,
          imageID: container.image,
          ready: this.isReady,
          started: this.isStarted,
          restartCount: this.restarts,
          // A patch would add the new state to the old.
          state: { waiting: null, running: null, terminated: null, ...this.state },
        },
      ],
    };
    const path = `${pathOf('v1/pods', namespace, name)}/status`;
    this.writing = this.writing.then(() =>
      this.api.ask('PATCH', path, { metadata: { uid }, status }, 'application/strategic-merge-patch+json').then(
        () => undefined,
        (error) => {
          // 404 and 409: the pod is no more.
          if (!(error instanceof ApiError && [404, 409].includes(error.status)))
            console.error(`status of ${name}:`, error.message);
        },
      ),
    );
  }
}
