import { spawnSync } from 'node:child_process';
import t from 'tap';
import { missing } from '../programs.js';
import { cottage, form, startApp } from '../start.js';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
/** What Prometheus 2.x sends. */
const prometheus =
  'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';

t.test('GET /metrics', async (t) => {
  const { url } = await startApp(t);
  const scrape = async (accept: string) => {
    const response = await fetch(`${url}/metrics`, { headers: { accept } });
    t.equal(response.status, 200);
    return { type: response.headers.get('content-type') ?? '', text: await response.text() };
  };
  const body = form(cottage, { steps: 1, width: 128, height: 128, seed: 1 });
  const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
  t.equal((await fetch(`${url}/img2img`, { method: 'POST', headers, body })).status, 200);

  await t.test('is OpenMetrics with the traces of requests as exemplars where Accept prefers it', async (t) => {
    for (const accept of ['application/openmetrics-text', prometheus]) {
      const { type, text } = await scrape(accept);
      t.match(type, /^application\/openmetrics-text; version=1\.0\.0/);
      const exemplars = text.split('\n').filter((line) => line.includes(' # {'));
      t.equal(exemplars.length, 1, 'one bucket has the request');
      t.match(
        exemplars[0],
        new RegExp(
          `^img2img_request_duration_seconds_bucket\\{.*outcome="ok".*\\} 1 # \\{trace_id="${traceId}"\\} [\\d.]+ \\d+`,
        ),
      );
      t.match(text, /^# TYPE img2img_images counter$/m);
      t.match(text, /^img2img_images_total\{.*\} 1$/m);
      t.notMatch(text, /\n\n/, 'no empty lines');
      t.match(text, /\n# EOF\n$/);
    }
  });

  await t.test('has no exemplars of traces that nobody keeps', async (t) => {
    const unsampled = { traceparent: `00-${'a'.repeat(32)}-00f067aa0ba902b7-00` };
    const body = form(cottage, { steps: 1, width: 128, height: 128, seed: 1 });
    t.equal((await fetch(`${url}/img2img`, { method: 'POST', headers: unsampled, body })).status, 200);
    const { text } = await scrape('application/openmetrics-text');
    t.match(text, /^img2img_images_total\{.*\} 2$/m);
    t.notMatch(text, 'a'.repeat(32));
  });

  await t.test('is plain text for everybody else, before and after', async (t) => {
    for (const accept of ['*/*', 'text/plain', 'text/html', '']) {
      const { type, text } = await scrape(accept);
      t.match(type, /^text\/plain; version=0\.0\.4/);
      t.notMatch(text, traceId);
      t.match(text, /^# TYPE img2img_images_total counter\nimg2img_images_total\{.*\} 2$/m);
    }
  });

  const skip = missing({ program: 'promtool', package: 'prometheus' });
  await t.test("plain text passes Prometheus' linter", { skip }, async (t) => {
    const { text } = await scrape('*/*');
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    t.equal(`${stdout}${stderr}`, '');
    t.equal(status, 0);
  });
});
