import t from 'tap';
import { cottage, form, startApp } from '../start.js';
import { fuzz } from './fuzz.js';

t.test(
  'broken requests get documented answers (2,000; npm run soak:fuzz: 20,000), and the server goes on',
  async (t) => {
    const { url, engine } = await startApp(t, { MODELS_DIR: 'test/reference', MAX_UPLOAD_BYTES: '2000000' });
    const [before] = engine.status.workers;
    const statuses = await fuzz(url, Number(process.env.FUZZ_REQUESTS ?? 2000), Number(process.env.FUZZ_SEED ?? 1));
    t.comment([...statuses].map(([status, count]) => `${status}: ${count}`).join(', '));
    t.ok(statuses.get('200'), 'some are good enough');
    t.ok(statuses.get('400'), 'some are not');
    const [after] = engine.status.workers;
    t.equal(after?.pid, before?.pid, 'no worker ended');
    const answer = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { steps: 1, model: 'tiny' }) });
    t.equal(answer.status, 200);
  },
);
