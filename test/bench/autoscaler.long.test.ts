// The simulated autoscaler does what Kubernetes' documentation says, and the committed figures are those of the shipped numbers.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { byAverageValue, byValue, createAutoscaler } from '../../bench/autoscaler/hpa.js';
import { begin, end, simulate } from '../../bench/autoscaler/simulate.js';

const direction = (stabilizationWindowSeconds: number, value: number, periodSeconds = 60) => ({
  stabilizationWindowSeconds,
  policies: [{ type: 'Pods', value, periodSeconds }],
});
const free = direction(0, 100);

t.test('proposals', async (t) => {
  t.equal(byAverageValue(200, 100, 1), 2, "the documentation's example: 200m for 100m doubles");
  t.equal(byAverageValue(50, 100, 1), 1, 'and 50m would halve; one replica is the least');
  t.equal(byAverageValue(0.76, 0.7, 1), 1, 'within a tenth nothing changes');
  t.equal(byAverageValue(0.78, 0.7, 1), 2, 'beyond it does');
  t.equal(byAverageValue(2.2, 0.7, 3), 3);
  t.equal(byValue(60, 30, 3, 3), 6);
  t.equal(byValue(32, 30, 3, 3), 3);
  t.equal(byValue(60, 30, 5, 3), 6, 'by those that are ready');
});

t.test('the largest proposal counts, within the limits', async (t) => {
  const scale = () =>
    createAutoscaler({ minReplicas: 2, maxReplicas: 8, behavior: { scaleUp: free, scaleDown: free } });
  t.equal(scale()(0, 3, [1, 5]), 5);
  t.equal(scale()(0, 3, [0]), 2);
  t.equal(scale()(0, 3, [20]), 8);
});

t.test('down only when the whole window wanted less', async (t) => {
  const scale = createAutoscaler({
    minReplicas: 1,
    maxReplicas: 8,
    behavior: { scaleUp: free, scaleDown: direction(60, 8) },
  });
  t.equal(scale(0, 5, [5]), 5);
  t.equal(scale(15, 5, [2]), 5);
  t.equal(scale(45, 5, [3]), 5);
  t.equal(scale(60, 5, [2]), 3, 'the most that the last 60 s wanted');
});

t.test('up only when the whole window wanted more', async (t) => {
  const scale = createAutoscaler({
    minReplicas: 1,
    maxReplicas: 8,
    behavior: { scaleUp: direction(30, 8), scaleDown: free },
  });
  t.equal(scale(0, 2, [2]), 2);
  t.equal(scale(15, 2, [6]), 2);
  t.equal(scale(30, 2, [4]), 4, 'the least that the last 30 s wanted');
});

t.test('no faster than the policies', async (t) => {
  const up = createAutoscaler({
    minReplicas: 1,
    maxReplicas: 20,
    behavior: { scaleUp: direction(0, 4), scaleDown: free },
  });
  t.equal(up(0, 1, [20]), 5);
  t.equal(up(15, 5, [20]), 5, 'four in each minute');
  t.equal(up(60, 5, [20]), 9);
  const down = createAutoscaler({
    minReplicas: 1,
    maxReplicas: 20,
    behavior: { scaleUp: free, scaleDown: direction(0, 1, 120) },
  });
  t.equal(down(0, 8, [1]), 7);
  t.equal(down(60, 7, [1]), 7);
  t.equal(down(120, 7, [1]), 6);
});

t.test(
  'docs/autoscaling.md and its plot are what npm run simulate:autoscaler makes of the shipped numbers',
  async (t) => {
    const { tables, plot } = simulate();
    const text = readFileSync(new URL('../../docs/autoscaling.md', import.meta.url), 'utf8');
    t.equal(text.slice(text.indexOf(begin) + begin.length, text.indexOf(end)).trim(), tables);
    t.equal(readFileSync(new URL('../../docs/autoscaling.svg', import.meta.url), 'utf8'), plot);
  },
);
