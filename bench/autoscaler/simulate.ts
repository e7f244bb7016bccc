// npm run simulate:autoscaler: a day of the shipped autoscaler (k8s/components/keda on k8s/components/cuda) beside others
// -> docs/autoscaling.md's tables and docs/autoscaling.svg.

import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { parse } from 'yaml';
import { type Day, type Fleet, quantile, type Scaler, simulateDay } from './day.js';
import { byAverageValue, byValue, createAutoscaler } from './hpa.js';
import { plotDay } from './plot.js';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const { spec } = parse(read('k8s/components/keda/scaled-object.yaml'));
const literals: string[] = [
  ...parse(read('k8s/base/kustomization.yaml')).configMapGenerator[0].literals,
  ...parse(read('k8s/components/cuda/kustomization.yaml')).configMapGenerator[0].literals,
];
const setting = (name: string) => Number(literals.find((one) => one.startsWith(`${name}=`))!.split('=')[1]);

const target = Number(spec.triggers[0].metadata.threshold);
const latencyTarget = Number(spec.triggers[1].metadata.threshold);
const autoscaler = {
  minReplicas: spec.minReplicaCount,
  maxReplicas: spec.maxReplicaCount,
  behavior: spec.advanced.horizontalPodAutoscalerConfig.behavior,
};
const fleet: Fleet = {
  slots: setting('MAX_CONCURRENT'),
  queueLimit: setting('MAX_QUEUE'),
  timeoutSeconds: setting('REQUEST_TIMEOUT_MS') / 1000,
  coldStartSeconds: 180,
  // Assumed, not measured: a GPU that runs a row in 40 ms and each further one in 10 ms more.
  stepSeconds: (rows) => 0.03 + 0.01 * rows,
};
/** Mean steps of the day's requests. */
const meanSteps = 25;
/** Requests per second of a replica whose slots are all taken. */
const capacity = fleet.slots / (meanSteps * fleet.stepSeconds(2 * fleet.slots));

/** The shipped policy with some of its numbers changed. */
function shipped({ saturation = target, behavior = autoscaler.behavior, guardrail = true } = {}): Scaler {
  const scale = createAutoscaler({ ...autoscaler, behavior });
  return (now, { current, ready, load, p95 }) => {
    const proposals = [byAverageValue(load, saturation, current)];
    if (guardrail && p95 > 0 && ready > 0 && load / ready > 0.5)
      proposals.push(byValue(p95, latencyTarget, current, ready));
    return scale(now, current, proposals);
  };
}

/** On the share of GPU memory, 70 % wanted. */
function byMemory(): Scaler {
  const scale = createAutoscaler(autoscaler);
  return (now, { current, memory }) => scale(now, current, [byAverageValue(memory, 0.7, current)]);
}

const fixed =
  (replicas: number): Scaler =>
  () =>
    replicas;
const { scaleUp, scaleDown } = autoscaler.behavior;

function run(scaler: Scaler, changed: Partial<Fleet> = {}, start: number = autoscaler.minReplicas): Day {
  return simulateDay({ ...fleet, ...changed }, scaler, start);
}

function table(rows: readonly (readonly [string, Day])[]): string {
  return [
    '| policy | GPU hours | rejected | missed the objective | wait p50 | p95 | p99 | changes |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map(([name, day]) => {
      const wait = (q: number) => `${quantile(day.waits, q).toFixed(1)} s`;
      const share = (count: number) => `${((100 * count) / day.arrivals).toFixed(2)} %`;
      return `| ${name} | ${day.replicaHours.toFixed(1)} | ${share(day.rejected)} | ${share(day.missed)} | ${wait(0.5)} | ${wait(0.95)} | ${wait(0.99)} | ${day.changes} |`;
    }),
  ].join('\n');
}

/** Both files' contents. */
export function simulate(): { tables: string; plot: string } {
  const day = run(shipped());
  const targets = [0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1, 1.25];
  const peak = Math.ceil(Math.max(...day.minutes.map(({ replicas }) => replicas)));
  const tables = [
    `A day has ${day.arrivals} requests; a replica has ${fleet.slots} slots and a queue of ${fleet.queueLimit}, and when all slots are taken it does ${capacity.toFixed(2)} requests per second; a cold start takes ${fleet.coldStartSeconds} s.`,
    '### The target of the saturation trigger',
    table(
      targets.map((saturation) => [
        `${saturation}${saturation === target ? ' (shipped)' : ''}`,
        run(shipped({ saturation })),
      ]),
    ),
    '### Other policies',
    table([
      ['shipped', day],
      ['shipped, without the guardrail', run(shipped({ guardrail: false }))],
      [
        'scale up at once',
        run(shipped({ behavior: { scaleUp: { ...scaleUp, stabilizationWindowSeconds: 0 }, scaleDown } })),
      ],
      [
        'scale up after 1 minute',
        run(shipped({ behavior: { scaleUp: { ...scaleUp, stabilizationWindowSeconds: 60 }, scaleDown } })),
      ],
      [
        'scale up after 2 minutes',
        run(shipped({ behavior: { scaleUp: { ...scaleUp, stabilizationWindowSeconds: 120 }, scaleDown } })),
      ],
      [
        'scale down after 5 minutes, one per minute',
        run(
          shipped({
            behavior: {
              scaleUp,
              scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
            },
          }),
        ),
      ],
      ['GPU memory, 70 % wanted', run(byMemory())],
      ...[Math.round(day.replicaHours / 24), peak].map(
        (replicas) => [`${replicas} replicas all day`, run(fixed(replicas), {}, replicas)] as const,
      ),
    ]),
    '### The cold start',
    table(
      [30, 60, 180, 300, 600].map((coldStartSeconds) => [
        `${coldStartSeconds} s`,
        run(shipped(), { coldStartSeconds }),
      ]),
    ),
  ].join('\n\n');
  return {
    tables,
    plot: plotDay(
      day.minutes,
      capacity,
      `A simulated day of the shipped autoscaler: saturation ${target} wanted, a cold start of ${fleet.coldStartSeconds} s`,
    ),
  };
}

export const begin = '<!-- simulation: npm run simulate:autoscaler -->';
export const end = '<!-- /simulation -->';

if (import.meta.url === pathToFileURL(argv[1]!).href) {
  const { tables, plot } = simulate();
  const document = new URL('docs/autoscaling.md', root);
  const text = readFileSync(document, 'utf8');
  writeFileSync(
    document,
    `${text.slice(0, text.indexOf(begin))}${begin}\n\n${tables}\n\n${text.slice(text.indexOf(end))}`,
  );
  writeFileSync(new URL('docs/autoscaling.svg', root), plot);
  console.log(tables);
}
