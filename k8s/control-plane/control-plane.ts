// etcd and the API server on loopback and, where they are asked for, the controllers and the scheduler.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { Api } from './api.js';
import { aggregator, writeCertificates } from './certificates.js';
import { freePorts, Processes } from './processes.js';
import { pathOf as programPath } from './programs.js';

export class ControlPlane {
  readonly processes = new Processes();
  /** For whoever looks around, and for the controllers. */
  readonly kubeconfig = join(this.processes.folder, 'kubeconfig');
  private constructor(readonly api: Api) {}

  /** An API server that is ready and has the definitions of KEDA, Prometheus' operator and the gateways. */
  static async start(): Promise<ControlPlane> {
    const [etcd, peers, secure] = await freePorts(3);
    const token = crypto.randomUUID();
    const access = { url: `https://localhost:${secure}`, token, ca: '' };
    const plane = new ControlPlane(new Api(access));
    try {
      const { folder } = plane.processes;
      writeCertificates(folder);
      access.ca = readFileSync(join(folder, 'ca.crt'), 'utf8');
      writeFileSync(join(folder, 'tokens'), `${token},admin,admin,system:masters\n`);
      writeFileSync(plane.kubeconfig, kubeconfig(access, folder), { mode: 0o600 });
      plane.startEtcd(etcd!, peers!);
      await plane.startApiServer(etcd!, secure!);
      await plane.define();
      return plane;
    } catch (error) {
      await plane.close();
      throw error;
    }
  }

  /** What makes pods of Deployments and puts them on nodes. */
  async startControllers(): Promise<void> {
    const ports = await freePorts(2);
    const own = (port: number) => [
      `--kubeconfig=${this.kubeconfig}`,
      '--leader-elect=false',
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--authentication-kubeconfig=${this.kubeconfig}`,
      `--authorization-kubeconfig=${this.kubeconfig}`,
    ];
    this.processes.run('kube-controller-manager', programPath('kube-controller-manager'), [
      ...own(ports[0]!),
      '--service-account-private-key-file=accounts.key',
      '--root-ca-file=ca.crt',
    ]);
    this.processes.run('kube-scheduler', programPath('kube-scheduler'), own(ports[1]!));
  }

  close(): Promise<void> {
    return this.processes.close();
  }

  private startEtcd(port: number, peers: number): void {
    const at = `http://127.0.0.1:${port}`;
    const peer = `http://127.0.0.1:${peers}`;
    this.processes.run('etcd', 'etcd', [
      '--data-dir=etcd',
      `--listen-client-urls=${at}`,
      `--advertise-client-urls=${at}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      '--logger=zap',
    ]);
  }

  private async startApiServer(etcd: number, port: number): Promise<void> {
    this.processes.run('kube-apiserver', programPath('kube-apiserver'), [
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      // The Service `kubernetes` would have a loopback address, which the API refuses.
      '--endpoint-reconciler-type=none',
      '--service-cluster-ip-range=10.96.0.0/16',
      '--tls-cert-file=tls.crt',
      '--tls-private-key-file=tls.key',
      '--client-ca-file=ca.crt',
      '--token-auth-file=tokens',
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc',
      '--service-account-key-file=accounts.key',
      '--service-account-signing-key-file=accounts.key',
      // Without these an aggregated API cannot know who asks.
      '--requestheader-client-ca-file=ca.crt',
      `--requestheader-allowed-names=${aggregator}`,
      '--requestheader-username-headers=X-Remote-User',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      '--proxy-client-cert-file=proxy.crt',
      '--proxy-client-key-file=proxy.key',
    ]);
    const ready = async () => (await this.api.get('/readyz')) === 'ok';
    await this.processes.until('the API server is ready', 'kube-apiserver', ready, 120);
  }

  private async define(): Promise<void> {
    const folder = programPath('crds');
    const definitions = readdirSync(folder).map((file) => parse(readFileSync(join(folder, file), 'utf8')));
    await Promise.all(definitions.map((definition) => this.api.apply(definition)));
    const established = async () => {
      const { items } = await this.api.get('/apis/apiextensions.k8s.io/v1/customresourcedefinitions');
      return items.every(({ status }: { status: { conditions?: { type: string; status: string }[] } }) =>
        status.conditions?.some(({ type, status }) => type === 'Established' && status === 'True'),
      );
    };
    await this.processes.until('the definitions are in force', 'kube-apiserver', established);
  }
}

function kubeconfig({ url, token }: { url: string; token: string }, folder: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'img2img', cluster: { server: url, 'certificate-authority': join(folder, 'ca.crt') } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'img2img', context: { cluster: 'img2img', user: 'admin', namespace: 'img2img' } }],
    'current-context': 'img2img',
  });
}
