// Asks Debian's promtool what the rules make of made-up series.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Test } from 'tap';
import { stringify } from 'yaml';
import { ruleGroups } from '../../k8s/rules.js';

const fleet = 'namespace="img2img", job="img2img"';
export const pod = (name: string, more = '') => `{${fleet}, pod="${name}", instance="${name}"${more && `, ${more}`}}`;

/** Values in promtool's notation, one per 15 s. */
export type Series = Record<string, string>;

/** Asks promtool to evaluate at `at`; the sample or alert has the fleet's labels unless others are given. */
export interface Case {
  readonly name: string;
  readonly series: Series;
  readonly at: string;
  readonly samples?: readonly { expr: string; value?: number }[];
  readonly fires?: readonly string[];
  readonly silent?: readonly string[];
}

/** One replica: slots, load and the probe's word, constant. */
export function replica(name: string, { slots = 4, inFlight = 0, queued = 0, ready = 1, up = '1' } = {}): Series {
  return {
    [`up${pod(name)}`]: `${up}x120`,
    [`img2img_slots${pod(name)}`]: `${slots}x120`,
    [`img2img_in_flight_requests${pod(name)}`]: `${inFlight}x120`,
    [`img2img_queue_depth${pod(name)}`]: `${queued}x120`,
    [`img2img_saturation_ratio${pod(name)}`]: `${(inFlight + queued) / slots}x120`,
    [`img2img_ready${pod(name)}`]: `${ready}x120`,
    [`img2img_draining${pod(name)}`]: '0x120',
  };
}

export function evaluate(t: Test, one: Case): void {
  promtool(t, 'test', 'rules', writeTest(t, one));
}

export function promtool(t: Test, ...args: string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
  t.equal(status, 0, `${stdout}${stderr}`);
}

/** The rules without the annotations' prose, which promtool would compare word by word, and the case in its notation. */
export function writeTest(t: Test, { name, series, at, samples = [], fires = [], silent = [] }: Case): string {
  const folder = t.testdir();
  const groups = ruleGroups().map((group) => ({
    ...group,
    rules: group.rules.map(({ annotations, ...rule }) => (rule.alert ? { ...rule, labels: {} } : rule)),
  }));
  writeFileSync(`${folder}/rules.yaml`, stringify({ groups }));
  const firing = fires.map((alert) => ({
    expr: firingOf(alert),
    eval_time: at,
    exp_samples: [{ labels: '{}', value: 1 }],
  }));
  const quiet = silent.map((alert) => ({ expr: firingOf(alert), eval_time: at, exp_samples: [] }));
  const test = {
    rule_files: ['rules.yaml'],
    evaluation_interval: '15s',
    tests: [
      {
        name,
        interval: '15s',
        input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
        promql_expr_test: [
          ...samples.map(({ expr, value }) => ({
            expr: `round(sum(${expr}), 0.001)`,
            eval_time: at,
            exp_samples: value === undefined ? [] : [{ labels: '{}', value }],
          })),
          ...firing,
          ...quiet,
        ],
      },
    ],
  };
  writeFileSync(`${folder}/test.yaml`, stringify(test));
  return `${folder}/test.yaml`;
}

/** 1 while the alert fires, for any number of label sets; nothing while it is silent or pending. */
function firingOf(alert: string): string {
  return `count(count(ALERTS{alertname="${alert}", alertstate="firing"}) > 0)`;
}
