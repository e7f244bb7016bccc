// Every value of img2img_cancelled_requests_total's labels can be reached, and counts what its name says.

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { cancelPhases, cancelReasons } from '../../src/engine/host/engine.js';
import { standIn } from '../stand-in/stand-in.js';
import { cottage, form, startApp } from '../start.js';

t.test('a request that ends before its picture is counted by where it was and why it ended', async (t) => {
  const { url, engine } = await startApp(t, {
    MODELS_DIR: 'test/reference',
    WORKER_MODULE: standIn({ callMs: { 1: 20, 2: 20 } }),
  });
  const fields = { width: 32, height: 32, steps: 4, prompt: '[slow@1]' };
  const post = async (init: RequestInit = {}) => {
    const answer = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, fields), ...init });
    return answer.status;
  };
  const draw = async (id: string) => {
    const body = {
      init_images: [cottage.toString('base64')],
      ...fields,
      force_task_id: id,
    };
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${url}/sdapi/v1/img2img`, { method: 'POST', headers, body: JSON.stringify(body) });
    return answer.status;
  };
  const counts = async () => {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const lines = metrics.matchAll(/^img2img_cancelled_requests_total\{phase="(\w+)",reason="(\w+)"\} (\d+)$/gm);
    return Object.fromEntries([...lines].map(([, phase, reason, count]) => [`${phase} ${reason}`, Number(count)]));
  };
  /** The first gets the only slot, the second waits behind it. */
  const two = async (make: (which: number) => Promise<number>) => {
    const first = make(0);
    while (engine.status.inFlight === 0) await sleep(5);
    const second = make(1);
    let answered: unknown;
    second.then(
      (status) => (answered = status),
      (error) => (answered = error),
    );
    while (engine.status.queueDepth === 0) {
      if (answered !== undefined) throw new Error(`it was answered at once: ${answered}`);
      await sleep(5);
    }
    return [second, first] as const;
  };

  // The deadline comes first: slow calls are learned, and what cannot be in time is then refused at once.
  const ways: Record<(typeof cancelReasons)[number], () => Promise<void>> = {
    async deadline() {
      const [queued, running] = await two((which) =>
        post({ headers: { 'x-request-timeout-ms': `${4500 - which * 500}` } }),
      );
      t.strictSame([await queued, await running], [504, 504]);
    },
    async client_gone() {
      const clients = [new AbortController(), new AbortController()];
      const [queued, running] = await two((which) => post({ signal: clients[which]!.signal }));
      clients[1]!.abort();
      await t.rejects(queued);
      clients[0]!.abort();
      await t.rejects(running);
    },
    async explicit() {
      const [queued, running] = await two((which) => draw(`task${which}`));
      for (const id of ['task1', 'task0']) await fetch(`${url}/sdapi/v1/interrupt?id_task=${id}`, { method: 'POST' });
      t.strictSame([await queued, await running], [200, 200]);
    },
    async shutdown() {
      const [queued, running] = await two(() => post());
      await engine.close();
      t.strictSame([await queued, await running], [503, 503]);
    },
  };

  const expected = Object.fromEntries(
    cancelPhases.flatMap((phase) => cancelReasons.map((reason) => [`${phase} ${reason}`, 0])),
  );
  t.strictSame(await counts(), expected, 'all are told before they happen');
  for (const [reason, end] of Object.entries(ways)) {
    await end();
    while (reason !== 'shutdown' && engine.status.inFlight + engine.status.queueDepth > 0) await sleep(5);
    for (const phase of cancelPhases) expected[`${phase} ${reason}`] = 1;
    t.strictSame(await counts(), expected, reason);
  }
});
