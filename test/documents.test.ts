import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { ruleGroups } from '../k8s/rules.js';

const root = new URL('../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const documents = [
  'README.md',
  'src/README.md',
  'models/training/README.md',
  'models/paintbox/README.md',
  'models/paintbox-lcm/README.md',
  'docs/tutorial.md',
  'SECURITY.md',
  'docs/api.md',
  'docs/clients.md',
  'docs/deploy.md',
  'docs/metrics.md',
  'docs/settings.md',
  'docs/generators.md',
  'docs/styles.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'docs/models.md',
  'bench/README.md',
  'bench/results-large.md',
  'bench/results-peers.md',
  'bench/results-sessions.md',
  'test/reference/README.md',
  'test/clients/generated/README.md',
  'docs/autoscaling.md',
  'k8s/README.md',
];

t.test('links of the documents lead to files, and their npm commands exist', async (t) => {
  const { scripts } = JSON.parse(read('package.json'));
  for (const path of documents) {
    const text = read(path);
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      t.ok(existsSync(new URL(target!, new URL(path, root))), `${path}: ${target}`);
    }
    for (const [, script] of text.matchAll(/npm run ([\w:]*\w)/g))
      t.ok(script! in scripts, `${path}: npm run ${script}`);
  }
});

t.test('README stays short, and a screen of it leads to the first picture', async (t) => {
  const lines = read('README.md').split('\n');
  t.ok(lines.length <= 75, `${lines.length} lines`);
  const begin = lines.slice(0, 20).join('\n');
  for (const part of ['npm ci && npm start', 'curl -F image=@docs/pictures/', '![', 'docs/showcase.jpg']) {
    t.match(begin, part);
  }
});

t.test('every alert has its chapter in docs/deploy.md, and no chapter has lost its alert', async (t) => {
  const chapters = [...read('docs/deploy.md').matchAll(/^### (Img2img\w+)\n\n\w/gm)];
  const alerts = ruleGroups().flatMap(({ rules }) => rules.filter(({ alert }) => alert));
  t.strictSame(
    chapters.map(([, alert]) => alert),
    alerts.map(({ alert }) => alert),
  );
  for (const { alert, annotations } of alerts) {
    t.equal(annotations?.runbook_url, `docs/deploy.md#${alert!.toLowerCase()}`);
  }
});

t.test("docs/deploy.md's alerts have the rules' numbers", async (t) => {
  const chapters = new Map(
    [...read('docs/deploy.md').matchAll(/^### (Img2img\w+)\n\n([^#]+)/gm)].map(([, alert, text]) => [alert!, text!]),
  );
  const inWords: Record<string, string> = { '2.5': 'three times', '0.5': 'half a second', '60': '60 s' };
  let found = 0;
  for (const { alert, expr, for: duration = '0m' } of ruleGroups().flatMap(({ rules }) => rules)) {
    if (!alert) continue;
    for (const [, threshold, unit] of expr.matchAll(/> ([\d.]+)( \* 0\.01)?/g)) {
      if (threshold === '0') continue; // whether there is any
      const percent = `${Number((unit ? Number(threshold) : 100 * Number(threshold)).toPrecision(3))} %`;
      t.match(chapters.get(alert), inWords[threshold!] ?? percent, `${alert}: above ${threshold}`);
      found++;
    }
    const minutes = Number.parseInt(duration, 10);
    if (minutes >= 5 && !/rate(30m|1h|6h|5m)/.test(expr))
      t.match(chapters.get(alert), `${minutes} minutes`, `${alert}: for ${duration}`);
  }
  t.equal(found, 10);
});

t.test("docs/deploy.md's chapters are where its contents say, and its worked example is right", async (t) => {
  const text = read('docs/deploy.md');
  const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replaceAll(' ', '-'));
  for (const [, anchor] of text.matchAll(/\]\(#([^)]+)\)/g)) t.ok(anchors.includes(anchor!), anchor!);
  const [rate, steps, slots, call, share] = [3, 25, 4, 0.11, 0.7];
  const requestSeconds = steps * call;
  t.match(text, `= **${requestSeconds} s**`);
  t.match(text, `= **${rate * requestSeconds}** requests`);
  t.match(text, `= **${(slots * share).toFixed(1)}** of them`);
  t.match(text, `= ${Math.ceil((rate * requestSeconds) / (slots * share))}**`);
  t.match(text, `= ${(slots / requestSeconds).toFixed(2)} requests per second`);
  t.match(text, `P · ${(1000 / (3600 * (slots / requestSeconds))).toFixed(2)}.`);
});

t.test("docs/deploy.md's cost of the simulated day is the simulation's", async (t) => {
  const simulated = read('docs/autoscaling.md');
  const requests = Number(/A day has (\d+) requests/.exec(simulated)![1]);
  const row = (policy: string) =>
    simulated
      .split('\n')
      .find((line) => line.startsWith(`| ${policy} |`))!
      .split(' | ');
  const perThousand = (policy: string) => {
    const [, hours, rejected] = row(policy);
    return (1000 * Number(hours)) / (requests * (1 - Number.parseFloat(rejected!) / 100));
  };
  t.match(read('docs/deploy.md'), `${row('shipped')[1]} GPU hours`);
  t.match(read('docs/deploy.md'), `P · ${perThousand('shipped').toFixed(2)}; with`);
  t.match(read('docs/deploy.md'), `P · ${perThousand('8 replicas all day').toFixed(2)}.`);
});
