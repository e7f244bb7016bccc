// An overlay at work: a control plane with three nodes, the pods' processes on a stand-in device, HAProxy in front of them, Prometheus and,
// by what the overlay scales with, KEDA or the metrics API behind. All on this machine, and gone after `close`.

import { fileURLToPath } from 'node:url';
import { build } from '../../test/operations/manifests.js';
import type { Costs } from '../../test/stand-in/device.js';
import { standIn } from '../../test/stand-in/stand-in.js';
import { type Api, pathOf, type Resource } from './api.js';
import { Balancer, type BalancerOptions } from './balancer.js';
import { ControlPlane } from './control-plane.js';
import { startKeda } from './keda.js';
import { Kubelet } from './kubelet/kubelet.js';
import { startMetricsApi } from './metrics-api.js';
import { registerNodes, threeNodes } from './nodes.js';
import { freePorts } from './processes.js';
import { Prometheus } from './prometheus.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const namespace = 'img2img';

export interface FleetOptions {
  readonly overlay: string;
  /** The pods' addresses begin so; two fleets at a time need two. */
  readonly network?: string;
  readonly costs: Costs;
  /** Settings of the ConfigMap that are others than the overlay's. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly balancer?: Pick<BalancerOptions, 'config' | 'lateMs'>;
  readonly prometheus?: boolean;
}

export class Fleet {
  private constructor(
    readonly plane: ControlPlane,
    readonly manifests: readonly Resource[],
    readonly kubelet: Kubelet,
    readonly balancer: Balancer,
    readonly prometheus: Prometheus,
    /** Requests that run at the same time on one replica. */
    readonly slots: number,
    private readonly closeOthers: () => void,
  ) {}

  get api(): Api {
    return this.plane.api;
  }

  /** Resolves when everything runs but the pods, which may still be starting. */
  static async start(options: FleetOptions): Promise<Fleet> {
    const plane = await ControlPlane.start();
    try {
      return await Fleet.on(plane, options);
    } catch (error) {
      await plane.close();
      throw error;
    }
  }

  private static async on(plane: ControlPlane, options: FleetOptions): Promise<Fleet> {
    const { overlay, costs, settings = {}, network = '10.244.0' } = options;
    const { api, processes } = plane;
    await plane.startControllers();
    const nodes = await registerNodes(api, threeNodes);
    const [clients, balancerMetrics, prometheusPort] = (await freePorts(3)) as [number, number, number];

    const manifests = build(overlay);
    const of = (kind: string): Resource => manifests.find((manifest) => manifest.kind === kind);
    const config = manifests.find(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('img2img-settings'),
    );
    Object.assign(config.data, settings);
    // Names of a cluster are not known here.
    for (const { metadata } of of('ScaledObject')?.spec.triggers ?? [])
      metadata.serverAddress = `http://127.0.0.1:${prometheusPort}`;
    for (const manifest of manifests) await api.apply(manifest);

    const slots = Number(config.data.MAX_CONCURRENT);
    const balancer = new Balancer({
      api,
      processes,
      namespace,
      service: of('Service').metadata.name,
      ports: [clients, balancerMetrics],
      slots,
      ...options.balancer,
    });
    const prometheus = new Prometheus({
      processes,
      api,
      port: prometheusPort,
      podMonitor: of('PodMonitor'),
      prometheusRule: of('PrometheusRule'),
      balancer: balancer.metrics,
    });
    if (options.prometheus ?? true) await prometheus.start();
    if (of('ScaledObject')) await startKeda(plane);
    const metricsApi = of('HorizontalPodAutoscaler') && (await startMetricsApi(api, processes, prometheus));
    // The last, so that nothing fails while it starts processes.
    const kubelet = new Kubelet({ api, processes, network, image: imageFor(costs) });
    return new Fleet(plane, manifests, kubelet, balancer, prometheus, slots, () => {
      nodes.stop();
      metricsApi?.close();
    });
  }

  /** Sets the number of replicas, of a Deployment without an autoscaler. */
  async scale(replicas: number): Promise<void> {
    await this.api.merge(`${this.deploymentPath}/scale`, { spec: { replicas } });
  }

  get deploymentPath(): string {
    return pathOf('apps/v1/deployments', namespace, 'img2img');
  }

  async pods(): Promise<Resource[]> {
    const path = `${pathOf('v1/pods', namespace)}?labelSelector=app.kubernetes.io/name=img2img`;
    return (await this.api.get(path)).items;
  }

  /** Waits until the Deployment is as it should be, no pod is leaving, and the balancer has so many replicas. */
  async settled(replicas: number, seconds = 600): Promise<void> {
    const holds = async () => {
      const { metadata, spec, status } = await this.api.get(this.deploymentPath);
      return (
        spec.replicas === replicas &&
        status.observedGeneration === metadata.generation &&
        status.updatedReplicas === replicas &&
        status.readyReplicas === replicas &&
        (await this.pods()).length === replicas &&
        this.balancer.ready.length === replicas
      );
    };
    await this.plane.processes.until(`${replicas} replicas are ready`, 'kubelet', holds, seconds);
  }

  async close(): Promise<void> {
    this.closeOthers();
    this.balancer.close();
    this.prometheus.close();
    await this.kubelet.close();
    await this.plane.close();
  }
}

/** The overlays' images: the compiled service with the image's settings, on the stand-in instead of a GPU. */
export function imageFor(costs: Costs) {
  const image = {
    command: [process.execPath, `${root}dist/main.js`],
    environment: { NODE_ENV: 'production', PORT: '8080', LOG_FORMAT: 'json' },
    instead: (address: string) => ({
      HOST: address,
      DEVICES: 'cpu',
      THREADS: '1',
      MODELS_DIR: `${root}test/reference`,
      WORKER_MODULE: standIn(costs),
    }),
  };
  return (name: string) => (/\/img2img:(cpu|cuda)$/.test(name) ? image : undefined);
}
