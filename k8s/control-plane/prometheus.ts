// Prometheus with the shipped PodMonitor and rules, scraping the pods that it finds in the API server.

import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Api, Resource } from './api.js';
import { discoverPods } from './discovery.js';
import { end, type Processes } from './processes.js';
import { scrapesOf } from './scrapes.js';

export interface PrometheusOptions {
  readonly processes: Processes;
  readonly api: Api;
  readonly port: number;
  readonly podMonitor: Resource;
  readonly prometheusRule: Resource;
  /** `host:port` of HAProxy's own metrics. */
  readonly balancer: string;
}

export class Prometheus {
  readonly url: string;
  private child: ChildProcess | undefined;
  private readonly pods: { stop(): void };

  constructor(private readonly options: PrometheusOptions) {
    const { processes, api, port, podMonitor, prometheusRule, balancer } = options;
    this.url = `http://127.0.0.1:${port}`;
    const at = (file: string) => join(processes.folder, file);
    writeFileSync(at('rules.yml'), stringify({ groups: prometheusRule.spec.groups }));
    this.pods = discoverPods(api, podMonitor.metadata.namespace, at('pods.json'));
    const { interval } = podMonitor.spec.podMetricsEndpoints[0];
    writeFileSync(
      at('prometheus.yml'),
      stringify({
        global: { evaluation_interval: interval, scrape_interval: interval },
        rule_files: [at('rules.yml')],
        scrape_configs: [
          ...scrapesOf(podMonitor, at('pods.json')),
          { job_name: 'haproxy', static_configs: [{ targets: [balancer] }] },
        ],
      }),
    );
  }

  async start(): Promise<void> {
    const { processes, port } = this.options;
    this.child = processes.run('prometheus', 'prometheus', [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=prometheus',
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    const ready = async () => (await fetch(`${this.url}/-/ready`)).ok;
    await processes.until('Prometheus is ready', 'prometheus', ready);
  }

  close(): void {
    this.pods.stop();
  }

  async stop(): Promise<void> {
    if (this.child) await end(this.child, 'SIGTERM');
  }

  /** The value of the first series of a query; undefined for none, and when Prometheus is away. */
  async value(query: string): Promise<number | undefined> {
    const values = await this.values(query);
    return values[0]?.value;
  }

  async values(query: string): Promise<{ metric: Record<string, string>; value: number }[]> {
    const response = await fetch(`${this.url}/api/v1/query?query=${encodeURIComponent(query)}`).catch(() => undefined);
    const { data } = ((await response?.json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    }) ?? { data: { result: [] } };
    return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }
}
