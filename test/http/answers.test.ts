import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import t from 'tap';
import { fittingSchedulers } from '../../src/pipeline/schedulers/index.js';
import { cottage, events, form, startApp } from '../start.js';

const quick = { steps: 4, strength: 1, seed: 7, width: 128, height: 128 };
interface Preview {
  b64_json: string;
  width: number;
  height: number;
  format: string;
}
const stream = { accept: 'text/event-stream' };

t.test('an event stream', async (t) => {
  const { url, engine } = await startApp(t, { HEARTBEAT_MS: '10', MAX_QUEUE: '2', MAX_CONCURRENT: '1' });
  const post = (fields: Record<string, string | number>, init: RequestInit = {}) =>
    fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, fields), ...init });

  await t.test('tells the queue, each step, the pictures and what ran, and keeps the line open', async (t) => {
    const response = await post({ ...quick, n: 2 }, { headers: stream });
    t.equal(response.status, 200);
    t.equal(response.headers.get('content-type'), 'text/event-stream');
    const text = await response.text();
    t.match(text, /^: heartbeat$/m);
    const told = events(text);
    t.match(told[0], { event: 'queued', data: { position: 0, estimated_wait_ms: 0 } });
    for (const index of [0, 1]) {
      const steps = told.filter(({ event, data }) => event === 'step' && data.index === index);
      t.strictSame(
        steps.map(({ data }) => [data.step, data.steps]),
        [1, 2, 3, 4].map((step) => [step, 4]),
        `steps of picture ${index}`,
      );
    }
    const images = told.filter(({ event }) => event === 'image').map(({ data }) => data);
    t.match(images, [
      { index: 0, seed: 7, width: 128, height: 128, format: 'png' },
      { index: 1, seed: 8 },
    ]);
    const alone = await post(quick);
    t.equal(
      images[0]!.b64_json,
      Buffer.from(await alone.arrayBuffer()).toString('base64'),
      'the same picture as alone',
    );
    const last = told.at(-1)!;
    t.match(last, { event: 'done', data: { model: 'paintbox', parameters: { seed: 7, steps_run: 4 }, warnings: [] } });
    t.notOk('images' in last.data);
  });

  await t.test('previews come with the steps, the last one much like the picture', async (t) => {
    const response = await post({ ...quick, strength: 0.5, steps: 8, preview: 'true' }, { headers: stream });
    const told = events(await response.text());
    const previews = told.filter(({ event }) => event === 'step').map(({ data }) => data.preview as Preview);
    t.match(previews, Array(4).fill({ width: 16, height: 16, format: 'png' }));
    const image = told.find(({ event }) => event === 'image')!.data;
    const small = (base64: unknown) =>
      sharp(Buffer.from(String(base64), 'base64'))
        .resize(16, 16, { fit: 'fill' })
        .removeAlpha()
        .raw()
        .toBuffer();
    const [picture, last] = [await small(image.b64_json), await small(previews.at(-1)!.b64_json)];
    const error = picture.reduce((sum, value, i) => sum + Math.abs(value - last[i]!), 0) / picture.length;
    t.ok(error < 25, `mean error ${error.toFixed(1)} of 255`);
    const without = await post({ ...quick, preview: 'true' });
    t.equal(without.headers.get('img2img-warnings'), 'preview_unused');
  });

  await t.test('what is refused at once is an ordinary problem', async (t) => {
    const response = await post({ ...quick, width: 100 }, { headers: stream });
    t.equal(response.status, 422);
    t.match(await response.json(), { code: 'size_not_supported' });
  });

  await t.test('tells the place in the queue; a full queue is a 429 for all pictures of a request', async (t) => {
    const controller = new AbortController();
    const running = post({ ...quick, steps: 150, n: 2 }, { signal: controller.signal }).catch(() => undefined);
    const queued = async (depth: number) => {
      while (engine.status.inFlight !== 1 || engine.status.queueDepth !== depth) await sleep(5);
    };
    await queued(1);
    const waiting = post(quick, { headers: stream }).then((response) => response.text());
    await queued(2);
    const refused = await post({ ...quick }, { headers: stream });
    t.equal(refused.status, 429);
    t.match(await refused.json(), { code: 'overloaded' });
    t.match(refused.headers.get('retry-after'), /^[1-9]\d*$/);
    controller.abort();
    const [first] = events(await waiting);
    t.equal(first!.event, 'queued');
    t.ok(Number(first!.data.position) >= 1, 'how many go first is for the rule of fairness to say');
    t.ok(Number(first!.data.estimated_wait_ms) > 0);
    await running;
  });

  await t.test('what fails later is its last event', async (t) => {
    const headers = { ...stream, 'x-request-timeout-ms': '300' };
    const response = await post({ ...quick, steps: 150, n: 8 }, { headers });
    if (response.status !== 200) {
      const code = response.status === 429 ? 'deadline_unattainable' : 'deadline_exceeded';
      t.match(await response.json(), { code }, 'seen before the first event');
      return;
    }
    const last = events(await response.text()).at(-1)!;
    t.match(last, { event: 'error', data: { code: 'deadline_exceeded', status: 504, instance: '/img2img' } });
  });

  await t.test('a reader that leaves frees the worker', async (t) => {
    const controller = new AbortController();
    const response = await post({ ...quick, steps: 150, n: 8 }, { headers: stream, signal: controller.signal });
    await response.body!.getReader().read();
    controller.abort();
    while (engine.status.inFlight + engine.status.queueDepth > 0) await new Promise((done) => setTimeout(done, 5));
    t.pass();
  });
});

t.test('a dry run', async (t) => {
  const { url, engine } = await startApp(t);
  const post = (fields: Record<string, string | number>, headers: Record<string, string> = {}) =>
    fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { ...fields, dry_run: 'true' }), headers });
  let steps = 0;
  engine.on('step', () => steps++);

  await t.test('says what would run, for how long, and what would have no effect', async (t) => {
    const response = await post({ n: 3, seed: 5, quality: 50, steps: 20, width: 128 });
    t.equal(response.status, 200);
    const body = (await response.json()) as Record<string, never>;
    t.match(body, {
      dry_run: true,
      model: 'paintbox',
      images: [5, 6, 7].map((seed) => ({ seed, width: 128, height: 128, format: 'png' })),
      parameters: { strength: 0.75, influence: 25, steps: 20, steps_run: 15, unet_calls: 15, scheduler: /./ },
      estimate: { wait_ms: 0, duration_ms: Number },
      warnings: [{ code: 'quality_unused', detail: /PNG/ }],
    });
    t.equal(steps, 0, 'nothing ran');
  });

  await t.test('knows the UNet calls of every scheduler before they run', async (t) => {
    const fields = { steps: 6, strength: 0.5, width: 128, height: 128, seed: 1 };
    // Of 3 positions: one twice, two calls for all but the last.
    const calls = (scheduler: string) => (scheduler === 'pndm' ? '4' : /^(heun|dpm2)/.test(scheduler) ? '5' : '3');
    // The spread of the sigmas changes no count.
    for (const scheduler of fittingSchedulers({}).filter((name) => !/_(karras|exponential|beta)$/.test(name))) {
      const { parameters } = (await (await post({ ...fields, scheduler })).json()) as {
        parameters: Record<string, number>;
      };
      const ran = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { ...fields, scheduler }) });
      t.equal(ran.status, 200, scheduler);
      const told = (name: string) => ran.headers.get(`img2img-${name}`);
      t.strictSame([told('steps-run'), told('unet-calls')], ['3', calls(scheduler)], scheduler);
      t.strictSame([parameters.steps_run, parameters.unet_calls].map(String), [told('steps-run'), told('unet-calls')]);
    }
  });

  await t.test('refuses what a real run would refuse, and answers as JSON only', async (t) => {
    t.equal((await post({ width: 100 })).status, 422);
    for (const scheduler of ['flow_euler', 'edm_euler']) {
      const refused = await post({ scheduler });
      t.equal(refused.status, 422);
      t.match(await refused.json(), {
        type: /unsupported_combination/,
        detail: /a noise prediction model does not run with (flow|edm)_euler but with: ddim, .*sa_solver_beta/,
        errors: [{ pointer: '#/scheduler' }],
      });
    }
    t.equal((await post({}, { accept: 'image/png' })).status, 406);
    const broken = form(cottage.subarray(0, 2000), { dry_run: 'true' });
    t.equal((await fetch(`${url}/img2img`, { method: 'POST', body: broken })).status, 422);
  });
});

t.test('a mask', async (t) => {
  const { url } = await startApp(t);
  const post = (mask: Buffer, fields: Record<string, string | number> = {}, image = cottage) => {
    const body = form(image, { ...quick, ...fields });
    body.append('mask', new Blob([mask]), 'mask');
    return fetch(`${url}/img2img`, { method: 'POST', body });
  };
  const grey = (width: number, height: number, background: string) =>
    sharp({ create: { width, height, channels: 3, background } });
  // White right half.
  const half = await grey(256, 256, 'black')
    .composite([{ input: await grey(128, 256, 'white').png().toBuffer(), left: 128, top: 0 }])
    .png()
    .toBuffer();

  await t.test('keeps the starter pixel for pixel where it is black', async (t) => {
    const starter = await sharp(cottage).resize(256, 256).removeAlpha().raw().toBuffer();
    const size = { width: 256, height: 256 };
    const input = await sharp(starter, { raw: { ...size, channels: 3 } })
      .png()
      .toBuffer();
    const response = await post(half, { ...size, guidance: 9, prompt: 'comic' }, input);
    t.equal(response.status, 200);
    const answer = await sharp(Buffer.from(await response.arrayBuffer()))
      .raw()
      .toBuffer();
    let [kept, changed] = [0, 0];
    for (let i = 0; i < answer.length; i++) {
      const left = Math.floor(i / 3) % 256 < 128;
      if (left && answer[i] !== starter[i]) kept++;
      if (!left && answer[i] !== starter[i]) changed++;
    }
    t.equal(kept, 0, 'the left half');
    t.ok(changed > 10_000, 'the right half');
  });

  await t.test('is the same in JSON', async (t) => {
    const image = cottage.toString('base64');
    const response = await fetch(`${url}/img2img`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...quick, image, mask: half.toString('base64') }),
    });
    t.ok(Buffer.from(await response.arrayBuffer()).equals(Buffer.from(await (await post(half)).arrayBuffer())));
  });

  await t.test(
    'that leaves nothing to repaint computes nothing: the answer is the starter, with a warning',
    async (t) => {
      const size = { width: 256, height: 256 };
      const starter = await sharp(cottage).resize(256, 256).removeAlpha().png().toBuffer();
      const steps = async () => /^img2img_steps_total.*$/gm.exec(await (await fetch(`${url}/metrics`)).text())?.[0];
      const before = await steps();
      for (const fields of [{}, { strength: 0 }, { n: 2, format: 'png' }]) {
        const response = await post(
          await grey(64, 64, 'black').png().toBuffer(),
          { ...size, prompt: 'comic', ...fields },
          starter,
        );
        t.equal(response.status, 200);
        const header = (name: string) => response.headers.get(`img2img-${name}`);
        t.match(
          [header('warnings'), header('unet-calls'), header('steps-run')],
          ['mask_empty', '0', '0'],
          JSON.stringify(fields),
        );
        if (!('n' in fields)) {
          const answer = await sharp(Buffer.from(await response.arrayBuffer()))
            .raw()
            .toBuffer();
          t.ok(answer.equals(await sharp(starter).raw().toBuffer()), 'pixel for pixel');
        }
      }
      t.equal(await steps(), before, 'no step ran');
      const dry = await post(await grey(64, 64, 'black').png().toBuffer(), { ...size, dry_run: 'true' }, starter);
      t.match(await dry.json(), { estimate: { duration_ms: 0 }, warnings: [{ code: 'mask_empty' }] });
    },
  );

  await t.test('that is white everywhere is no mask', async (t) => {
    const bytes = async (response: Response) => Buffer.from(await response.arrayBuffer());
    const none = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, quick) });
    const white = await post(await grey(64, 64, 'white').png().toBuffer());
    t.equal(white.headers.get('img2img-warnings'), none.headers.get('img2img-warnings'));
    t.ok((await bytes(white)).equals(await bytes(none)));
  });

  await t.test('must be a picture of the same proportions', async (t) => {
    const cases: [mask: Buffer, status: number, code: string][] = [
      [await grey(100, 50, 'white').png().toBuffer(), 422, 'unsupported_combination'],
      [Buffer.from('hello'), 415, 'unsupported_picture'],
      [half.subarray(0, half.length - 100), 422, 'undecodable_picture'],
    ];
    for (const [mask, status, code] of cases) {
      const response = await post(mask);
      t.equal(response.status, status);
      t.match(await response.json(), { code, errors: [{ pointer: '#/mask', detail: /mask/ }] });
    }
    const small = await sharp(half).resize(64, 64).png().toBuffer();
    t.equal((await post(small)).status, 200, 'another size will do');
  });
});
