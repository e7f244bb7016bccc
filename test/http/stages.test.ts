// Where a request's time went: its stages, and that nothing is left out.

import t from 'tap';
import { stages } from '../../src/http/pictures/stages.js';
import { cottage, form, startApp } from '../start.js';

type Timings = Record<string, number>;

t.test('the stages of a request are all of its time, the loading of its model included', async (t) => {
  const tiny = t.fixture('symlink', `${process.cwd()}/test/reference/tiny`);
  const { url } = await startApp(t, { MODELS_DIR: t.testdir({ a: tiny, b: tiny }), MAX_CONCURRENT: '2' });
  const make = async (fields: Record<string, string | number>) => {
    const start = performance.now();
    const body = form(cottage, { steps: 4, ...fields });
    const answer = await fetch(`${url}/img2img`, { method: 'POST', headers: { accept: 'application/json' }, body });
    const { timings } = (await answer.json()) as { timings: Timings };
    return { timings, wallMs: performance.now() - start, serverTiming: answer.headers.get('server-timing')! };
  };
  const metric = async (pattern: RegExp) =>
    [...(await (await fetch(`${url}/metrics`)).text()).matchAll(pattern)].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    );

  const [first, beside] = await Promise.all([make({ model: 'b' }), make({ model: 'b' })]);
  const loadMs = 1000 * (await metric(/^img2img_model_load_duration_seconds\{model="b",component="\w+"\} (\S+)$/gm));
  const again = await make({ model: 'b' });
  const several = await make({ model: 'b', n: 3 });
  const preloaded = await make({ model: 'a' });

  for (const [name, { timings, wallMs, serverTiming }] of Object.entries({
    first,
    beside,
    again,
    several,
    preloaded,
  })) {
    const sum = stages.reduce((sum, stage) => sum + timings[stage]!, 0);
    t.ok(Math.abs(sum - timings.total!) <= 0.05 * (stages.length + 1), `${name}: ${sum} is ${timings.total}`);
    t.ok(timings.total! <= wallMs, `${name}: ${timings.total} is in ${wallMs}`);
    t.equal(
      serverTiming,
      Object.entries(timings)
        .map(([stage, ms]) => `${stage};dur=${ms}`)
        .join(', '),
      name,
    );
  }
  t.ok(loadMs > 0);
  const [waitedLess, waitedMost] = [first, beside].map(({ timings }) => timings.model_load!).sort((x, y) => x - y);
  t.ok(waitedMost! >= loadMs, `${waitedMost} holds the load of ${loadMs}`);
  t.ok(waitedLess! > 0, 'whoever waits for the same load is told too');
  for (const { timings } of [again, several, preloaded]) t.equal(timings.model_load, 0);
  t.ok((await metric(/^img2img_stage_duration_seconds_sum\{stage="model_load"\} (\S+)$/gm)) * 1000 >= loadMs);
  const inStages = await metric(/^img2img_stage_duration_seconds_sum\{stage="\w+"\} (\S+)$/gm);
  const inAll = [first, beside, again, several, preloaded].reduce((sum, { timings }) => sum + timings.total!, 0) / 1000;
  t.ok(Math.abs(inStages - inAll) < 0.001, 'the metrics tell the same');
});
