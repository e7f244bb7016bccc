// What the autoscalers ask Prometheus, and what the dashboard shows: it parses, it names metrics that exist, and it answers as it should.

import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { stringify } from 'yaml';
import { knownMetrics } from '../../docs/metrics.js';
import { ruleGroups } from '../../k8s/rules.js';
import { missing } from '../programs.js';
import { arrivals, fromZero, hpaP95, hpaSaturation, p95, saturation } from './autoscaler-queries.js';
import { type Case, evaluate, pod, promtool, replica } from './promtool.js';

const skip = missing({ program: 'promtool', package: 'prometheus' });

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly gridPos: { x: number; y: number; w: number; h: number };
  readonly fieldConfig?: { defaults: { unit?: string } };
  readonly targets?: readonly { expr: string }[];
}
const dashboard: {
  panels: readonly Panel[];
  annotations: { list: readonly { expr: string }[] };
  templating: { list: readonly { query: unknown }[] };
} = JSON.parse(readFileSync(new URL('../../k8s/grafana/img2img.json', import.meta.url), 'utf8'));
const shown = [
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...dashboard.annotations.list.map(({ expr }) => expr),
].map((expr) =>
  expr.replaceAll('$__rate_interval', '1m').replaceAll('$namespace', 'img2img').replaceAll('$job', 'img2img'),
);

const asked = [saturation!, p95!, fromZero, arrivals, hpaSaturation, hpaP95];

const slow = {
  [`img2img_request_duration_seconds_bucket${pod('a', 'model="m", outcome="ok", le="30"')}`]: '0+1x120',
  [`img2img_request_duration_seconds_bucket${pod('a', 'model="m", outcome="ok", le="60"')}`]: '0+20x120',
  [`img2img_request_duration_seconds_bucket${pod('a', 'model="m", outcome="ok", le="+Inf"')}`]: '0+20x120',
};
/** One element with this value, or none at all. */
const one = (expr: string, value?: number) => [
  { expr: `count(${expr})`, ...(value !== undefined && { value: 1 }) },
  { expr, ...(value !== undefined && { value }) },
];

const cases: readonly Case[] = [
  {
    name: 'no replica: no value, so that KEDA falls back; only scale-to-zero reads it as no load',
    series: {},
    at: '10m',
    samples: [
      ...one(saturation!),
      ...one(p95!, 0),
      ...one(fromZero, 0),
      ...one(arrivals, 0),
      ...one(hpaSaturation),
      ...one(hpaP95, 0),
    ],
  },
  {
    name: 'three replicas: one value, their sum',
    series: {
      ...replica('a', { inFlight: 2 }),
      ...replica('b', { inFlight: 4 }),
      ...replica('c', { inFlight: 4, queued: 2 }),
    },
    at: '10m',
    samples: [
      ...one(saturation!, 3),
      ...one(fromZero, 3),
      { expr: `count(${hpaSaturation})`, value: 3 },
      { expr: hpaSaturation, value: 3 },
    ],
  },
  {
    name: 'one of three is missing: it counts as the others do',
    series: {
      ...replica('a', { inFlight: 4 }),
      ...replica('b', { inFlight: 2 }),
      [`up${pod('c')}`]: '1x30 0x10',
      [`img2img_saturation_ratio${pod('c')}`]: '1x30 stale',
    },
    at: '9m',
    samples: one(saturation!, 2.25),
  },
  {
    name: 'all saturated and slow: both ask for more',
    series: { ...replica('a', { inFlight: 4, queued: 16 }), ...slow },
    at: '10m',
    samples: [...one(saturation!, 5), ...one(p95!, 58.421), ...one(hpaP95, 58.421)],
  },
  {
    name: 'slow and not saturated: more replicas would not help',
    series: { ...replica('a', { inFlight: 1 }), ...slow },
    at: '10m',
    samples: [...one(saturation!, 0.25), ...one(p95!, 0), ...one(hpaP95, 0)],
  },
  {
    name: 'saturated by the first requests, which have not ended: no percentile is no value above the target',
    series: {
      ...replica('a', { inFlight: 4 }),
      [`img2img_request_duration_seconds_bucket${pod('a', 'model="m", outcome="ok", le="+Inf"')}`]: '0x120',
    },
    at: '10m',
    samples: [...one(saturation!, 1), ...one(p95!, 0), ...one(hpaP95, 0)],
  },
  {
    name: 'the counters start again',
    series: {
      ...replica('a', { inFlight: 4 }),
      [`img2img_request_duration_seconds_bucket${pod('a', 'model="m", outcome="ok", le="60"')}`]: '0+20x30 0+20x10',
      [`img2img_request_duration_seconds_bucket${pod('a', 'model="m", outcome="ok", le="+Inf"')}`]: '0+20x30 0+20x10',
    },
    at: '9m',
    samples: one(p95!, 57),
  },
  {
    name: 'at zero, a request at the balancer wakes a replica',
    series: { 'haproxy_backend_http_requests_total{proxy="img2img"}': '0x20 1x20' },
    at: '6m',
    samples: [...one(fromZero, 0), ...one(arrivals, 0.003)],
  },
];
for (const one of cases) t.test(one.name, { skip }, async (t) => evaluate(t, one));

t.test('every expression of the dashboard and the autoscalers parses', { skip }, async (t) => {
  const file = `${t.testdir()}/expressions.yaml`;
  const rules = [...shown, ...asked].map((expr, i) => ({ record: `expression:${i}`, expr }));
  writeFileSync(file, stringify({ groups: [{ name: 'expressions', rules }] }));
  promtool(t, 'check', 'rules', file);
});

t.test('rules, dashboard and autoscalers name only metrics that exist', async (t) => {
  const { metrics, own } = await knownMetrics();
  const known = new Set([...metrics, ...own].map(({ name }) => name));
  for (const { rules } of ruleGroups()) for (const { record } of rules) if (record) known.add(record);
  const expressions = [...ruleGroups().flatMap(({ rules }) => rules.map(({ expr }) => expr)), ...shown, ...asked];
  const variables = dashboard.templating.list.map(({ query }) => JSON.stringify(query));
  const names = [...expressions, ...variables].flatMap(
    (expr) => expr.match(/\b(job:)?(img2img|nodejs|process)_\w+(:\w+)?/g) ?? [],
  );
  t.ok(names.length > 80);
  for (const name of new Set(names)) {
    t.ok(known.has(name) || known.has(name.replace(/_(bucket|sum|count)$/, '')), name);
  }
});

t.test('the dashboard is laid out for reading', async (t) => {
  const { panels } = dashboard;
  for (const { title, type, description, gridPos, fieldConfig } of panels.filter(({ type }) => type !== 'row')) {
    t.ok(description, `${title} is explained`);
    t.ok(fieldConfig?.defaults.unit, `${title} has a unit`);
    t.ok(gridPos.x + gridPos.w <= 24, `${title} fits (${type})`);
  }
  const overlap = (a: Panel['gridPos'], b: Panel['gridPos']) =>
    a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
  for (const [i, a] of panels.entries())
    for (const b of panels.slice(i + 1)) t.notOk(overlap(a.gridPos, b.gridPos), `${a.title} and ${b.title} lie apart`);
});
