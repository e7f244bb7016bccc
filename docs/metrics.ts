// npm run docs:metrics writes docs/metrics.md's tables from what the service registers.

import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { pino } from 'pino';
import { engineSettings, readConfig } from '../src/config.js';
import { Engine } from '../src/engine/host/engine.js';
import { buildApp } from '../src/http/app.js';

const begin = '<!-- metrics: npm run docs:metrics -->';
const end = '<!-- /metrics -->';

interface KnownMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
  /** Of a histogram. */
  readonly upperBounds?: readonly number[];
}

/** What a service on a GPU would publish: the service's own metrics, and those of prom-client about its process. */
export async function knownMetrics(): Promise<{ metrics: KnownMetric[]; own: KnownMetric[] }> {
  const config = readConfig({ DEVICES: 'cpu' });
  const engine = new Engine(engineSettings(config));
  const build = { version: '', revision: '' };
  const logger = pino({ level: 'silent' });
  const { app, registry } = await buildApp({
    config,
    engine,
    gpus: { gpus: [] },
    logger,
    lifecycle: { draining: false },
    build,
  });
  const all = registry.getMetricsAsArray() as unknown as KnownMetric[];
  await app.close();
  await engine.close();
  return {
    metrics: all.filter(({ name }) => name.startsWith('img2img_')),
    own: all.filter(({ name }) => !name.startsWith('img2img_')),
  };
}

export async function metricsMarkdown(): Promise<string> {
  const { metrics } = await knownMetrics();
  const rows = metrics.map(({ name, type, labelNames, help, upperBounds }) => {
    const labels = labelNames.map((label) => `\`${label}\``).join(', ');
    const buckets = upperBounds ? ` Buckets: ${upperBounds.join(', ')}.` : '';
    return `| \`${name}\` | ${type} | ${labels} | ${help}${buckets} |`;
  });
  return [begin, '| name | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows, end].join('\n');
}

if (import.meta.url === pathToFileURL(argv[1]!).href) {
  const file = new URL('metrics.md', import.meta.url);
  const text = readFileSync(file, 'utf8');
  const table = await metricsMarkdown();
  writeFileSync(file, text.slice(0, text.indexOf(begin)) + table + text.slice(text.indexOf(end) + end.length));
}
