// The recording rules and alerts (k8s/base/prometheus-rule.yaml) over made-up series, by promtool.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { ruleFile, ruleGroups } from '../../k8s/rules.js';
import { missing } from '../programs.js';
import { type Case, evaluate, pod, promtool, replica, type Series, writeTest } from './promtool.js';

const skip = missing({ program: 'promtool', package: 'prometheus' });

const load = 'job:img2img_saturation_ratio:sum';
const mean = 'job:img2img_saturation_ratio:avg';
const bucket = (outcome: string, le: string) =>
  `img2img_request_duration_seconds_bucket${pod('a', `model="m", outcome="${outcome}", le="${le}"`)}`;
const count = (outcome: string) =>
  `img2img_request_duration_seconds_count${pod('a', `model="m", outcome="${outcome}"`)}`;

/** Requests per 15 s that end in time, late, and in an error, for the whole series. */
function requests({ good = 0, late = 0, failed = 0, cancelled = 0, edge = '30', samples = 1500 }): Series {
  return {
    [bucket('ok', edge)]: `0+${good}x${samples}`,
    [bucket('ok', '+Inf')]: `0+${good + late}x${samples}`,
    [count('ok')]: `0+${good + late}x${samples}`,
    [count('error')]: `0+${failed}x${samples}`,
    [count('cancelled')]: `0+${cancelled}x${samples}`,
  };
}

const cases: readonly Case[] = [
  {
    name: 'no replicas: no load is reported, rather than none, and the alert fires',
    series: {},
    at: '10m',
    samples: [{ expr: load }, { expr: mean }],
    fires: ['Img2imgNoReadyReplica'],
  },
  {
    name: 'two replicas, half full',
    series: { ...replica('a', { inFlight: 2 }), ...replica('b', { inFlight: 2 }) },
    at: '10m',
    samples: [
      { expr: load, value: 1 },
      { expr: mean, value: 0.5 },
    ],
    silent: ['Img2imgNoReadyReplica', 'Img2imgSaturated', 'Img2imgReplicaDown'],
  },
  {
    name: 'replicas of different sizes: the mean is over slots',
    series: { ...replica('a', { slots: 1, inFlight: 1 }), ...replica('b', { slots: 4, inFlight: 0 }) },
    at: '10m',
    samples: [
      { expr: load, value: 1 },
      { expr: mean, value: 0.2 },
    ],
  },
  {
    name: 'all saturated, with queues',
    series: { ...replica('a', { inFlight: 4, queued: 8 }), ...replica('b', { inFlight: 4, queued: 4 }) },
    at: '10m',
    samples: [
      { expr: load, value: 5 },
      { expr: mean, value: 2.5 },
    ],
    fires: ['Img2imgSaturated'],
  },
  {
    name: 'a replica that stops answering counts as the average of the others',
    series: {
      ...replica('a', { inFlight: 4, queued: 4 }),
      ...replica('b', { inFlight: 2, queued: 2 }),
      [`up${pod('c')}`]: '1x30 0x10',
      [`img2img_saturation_ratio${pod('c')}`]: '1x30 stale',
    },
    at: '9m',
    samples: [{ expr: load, value: 4.5 }],
  },
  {
    name: 'a replica that is still being pulled counts as nothing',
    series: { ...replica('a', { inFlight: 4 }), [`up${pod('b')}`]: '0x120' },
    at: '12m',
    samples: [{ expr: load, value: 1 }],
    fires: ['Img2imgReplicaDown'],
  },
  {
    name: 'a replica that was removed counts as nothing at once',
    series: {
      ...replica('a', { inFlight: 3 }),
      [`up${pod('b')}`]: '1x30 stale',
      [`img2img_saturation_ratio${pod('b')}`]: '1x30 stale',
    },
    at: '8m',
    samples: [{ expr: load, value: 0.75 }],
  },
  {
    name: 'the only replica is there and not ready',
    series: replica('a', { ready: 0 }),
    at: '10m',
    fires: ['Img2imgNoReadyReplica'],
    silent: ['Img2imgSaturated'],
  },
  {
    name: 'a counter that starts again loses nothing and invents nothing',
    series: {
      [`img2img_images_total${pod('a', 'model="m"')}`]: '0+15x20 0+15x20',
    },
    at: '7m30s',
    samples: [{ expr: 'job:img2img_images:rate5m', value: 0.95 }],
  },
  {
    name: 'refusals for want of room, beside refusals of bad requests',
    series: {
      [`img2img_rejected_requests_total${pod('a', 'reason="queue_full"')}`]: '0+1x120',
      [`img2img_rejected_requests_total${pod('a', 'reason="deadline"')}`]: '0+1x120',
      [`img2img_rejected_requests_total${pod('a', 'reason="invalid"')}`]: '0+9x120',
      [`img2img_http_requests_total${pod('a', 'route="/img2img", method="POST", status="200"')}`]: '0+20x120',
      [`img2img_http_requests_total${pod('a', 'route="/livez", method="GET", status="200"')}`]: '0+99x120',
    },
    at: '15m',
    samples: [{ expr: 'job:img2img_rejected_requests:ratio_rate5m', value: 0.1 }],
    fires: ['Img2imgRejecting'],
  },
  {
    name: 'bad requests alone are no overload',
    series: {
      [`img2img_rejected_requests_total${pod('a', 'reason="queue_full"')}`]: '0x120',
      [`img2img_rejected_requests_total${pod('a', 'reason="invalid"')}`]: '0+9x120',
      [`img2img_http_requests_total${pod('a', 'route="/img2img", method="POST", status="400"')}`]: '0+9x120',
    },
    at: '15m',
    samples: [{ expr: 'job:img2img_rejected_requests:ratio_rate5m', value: 0 }],
    silent: ['Img2imgRejecting'],
  },
  ...['30', '30.0'].map((edge) => ({
    name: `late and failed requests burn the objective; cancelled ones do not (le="${edge}")`,
    series: requests({ good: 8, late: 1, failed: 1, cancelled: 10, edge }),
    at: '6h',
    samples: [
      { expr: 'job:img2img_objective_misses:ratio_rate5m', value: 0.2 },
      { expr: 'job:img2img_objective_misses:ratio_rate6h', value: 0.2 },
    ],
    fires: ['Img2imgObjectiveBurnsFast', 'Img2imgObjectiveBurnsSlowly'],
  })),
  {
    name: 'a slow burn is no fast one',
    series: requests({ good: 90, late: 10 }),
    at: '6h',
    fires: ['Img2imgObjectiveBurnsSlowly'],
    silent: ['Img2imgObjectiveBurnsFast'],
  },
  {
    name: 'the objective is met',
    series: requests({ good: 1000, late: 5, failed: 4 }),
    at: '6h',
    silent: ['Img2imgObjectiveBurnsFast', 'Img2imgObjectiveBurnsSlowly'],
  },
  {
    name: 'the 95th percentile is over the fleet, and of what was not cancelled',
    series: {
      [bucket('ok', '10')]: '0+90x120',
      [bucket('ok', '20')]: '0+100x120',
      [bucket('ok', '+Inf')]: '0+100x120',
      [bucket('cancelled', '10')]: '0x120',
      [bucket('cancelled', '20')]: '0x120',
      [bucket('cancelled', '+Inf')]: '0+100x120',
    },
    at: '15m',
    samples: [{ expr: 'job:img2img_request_duration_seconds:p95_5m', value: 15 }],
  },
  {
    name: 'the autoscaler is at its end',
    series: {
      'kube_horizontalpodautoscaler_status_current_replicas{horizontalpodautoscaler="keda-hpa-img2img"}': '8x120',
      'kube_horizontalpodautoscaler_spec_max_replicas{horizontalpodautoscaler="keda-hpa-img2img"}': '8x120',
    },
    at: '16m',
    fires: ['Img2imgScaledToMax'],
  },
  {
    name: 'the autoscaler has room',
    series: {
      'kube_horizontalpodautoscaler_status_current_replicas{horizontalpodautoscaler="img2img"}': '7x120',
      'kube_horizontalpodautoscaler_spec_max_replicas{horizontalpodautoscaler="img2img"}': '8x120',
    },
    at: '16m',
    silent: ['Img2imgScaledToMax'],
  },
  {
    name: 'a request waits longer than any may',
    series: { [`img2img_queue_oldest_age_seconds${pod('a')}`]: '0+15x40' },
    at: '8m',
    fires: ['Img2imgQueueStuck'],
  },
  {
    name: 'a request waits',
    series: { [`img2img_queue_oldest_age_seconds${pod('a')}`]: '59x40' },
    at: '8m',
    silent: ['Img2imgQueueStuck'],
  },
  {
    name: 'a worker is down, and was started again and again, across a restart of the whole replica',
    series: {
      ...replica('a'),
      [`img2img_worker_up${pod('a', 'worker="0", device="cuda:0"')}`]: '0x120',
      [`img2img_worker_restarts_total${pod('a', 'worker="0", device="cuda:0", reason="oom"')}`]:
        '0x20 1x10 2x10 0x10 1x30',
      [`img2img_gpu_memory_used_bytes${pod('a', 'gpu="0", uuid="GPU-1"')}`]: '39e9x120',
      [`img2img_gpu_memory_total_bytes${pod('a', 'gpu="0", uuid="GPU-1"')}`]: '40e9x120',
    },
    at: '15m',
    fires: ['Img2imgWorkerDown', 'Img2imgWorkerRestarting', 'Img2imgGpuMemoryFull'],
    silent: ['Img2imgGpuTelemetryMissing'],
  },
  {
    name: 'a worker that drains is not down',
    series: {
      [`img2img_worker_up${pod('a', 'worker="0", device="cpu"')}`]: '0x120',
      [`img2img_draining${pod('a')}`]: '1x120',
      [`img2img_worker_restarts_total${pod('a', 'worker="0", device="cpu", reason="exit"')}`]: '0x20 1x100',
    },
    at: '15m',
    silent: ['Img2imgWorkerDown', 'Img2imgWorkerRestarting', 'Img2imgGpuTelemetryMissing'],
  },
  {
    name: 'a GPU that reports nothing',
    series: { [`img2img_worker_up${pod('a', 'worker="0", device="cuda:0"')}`]: '1x120' },
    at: '15m',
    fires: ['Img2imgGpuTelemetryMissing'],
    silent: ['Img2imgWorkerDown'],
  },
  {
    name: 'a GPU that is well used',
    series: {
      [`img2img_worker_up${pod('a', 'worker="0", device="cuda:0"')}`]: '1x120',
      [`img2img_gpu_memory_used_bytes${pod('a', 'gpu="0", uuid="GPU-1"')}`]: '37e9x120',
      [`img2img_gpu_memory_total_bytes${pod('a', 'gpu="0", uuid="GPU-1"')}`]: '40e9x120',
    },
    at: '15m',
    silent: ['Img2imgGpuMemoryFull', 'Img2imgGpuTelemetryMissing'],
  },
  {
    name: 'a GPU that is there, and the CPU is used',
    series: { [`img2img_gpu_unused${pod('a', 'reason="no_provider"')}`]: '1x120' },
    at: '15m',
    fires: ['Img2imgGpuUnused'],
  },
  {
    name: 'a GPU that is there, and the CPU is meant',
    series: { [`img2img_gpu_unused${pod('a', 'reason="not_named"')}`]: '1x120' },
    at: '15m',
    silent: ['Img2imgGpuUnused'],
  },
  {
    name: 'the HTTP process stalls',
    series: { [`nodejs_eventloop_lag_p99_seconds${pod('a')}`]: '0.7x120' },
    at: '15m',
    fires: ['Img2imgEventLoopSlow'],
  },
  {
    name: 'the HTTP process is quick',
    series: { [`nodejs_eventloop_lag_p99_seconds${pod('a')}`]: '0.03x120' },
    at: '15m',
    silent: ['Img2imgEventLoopSlow'],
  },
];

const alerts = ruleGroups().flatMap(({ rules }) => rules.flatMap(({ alert }) => alert ?? []));
const records = ruleGroups().flatMap(({ rules }) => rules.flatMap(({ record }) => record ?? []));

t.test('promtool accepts the rules', { skip }, async (t) => {
  const file = `${t.testdir()}/rules.yaml`;
  writeFileSync(file, ruleFile());
  promtool(t, 'check', 'rules', file);
});

for (const one of cases) t.test(one.name, { skip }, async (t) => evaluate(t, one));

t.test('promtool refuses a wrong expectation, so that these tests can fail', { skip }, async (t) => {
  const file = writeTest(t, { name: 'wrong', series: replica('a'), at: '10m', samples: [{ expr: load, value: 7 }] });
  t.equal(spawnSync('promtool', ['test', 'rules', file]).status, 1);
});

t.test('every alert is seen to fire, and to be silent, and every rule is evaluated', async (t) => {
  for (const alert of alerts) {
    t.ok(
      cases.some(({ fires }) => fires?.includes(alert)),
      `${alert} fires`,
    );
    t.ok(
      cases.some(({ silent }) => silent?.includes(alert)),
      `${alert} is silent`,
    );
  }
  // The ratios of 30 minutes and 1 hour are seen through the alerts that need them.
  for (const record of records.filter((name) => !/ratio_rate(30m|1h)$/.test(name))) {
    t.ok(
      cases.some(({ samples }) => samples?.some(({ expr }) => expr === record)),
      record,
    );
  }
});
