// Who a request is from: by key, by address, and through proxies.

import t from 'tap';
import { readConfig } from '../../src/config.js';
import { trustOf } from '../../src/http/server/proxies.js';
import { WrongKeys } from '../../src/http/server/wrong-keys.js';
import { cottage, startApp } from '../start.js';

t.test('keys that are empty do not open the server', (t) => {
  for (const keys of [',', ' ', ' , ', ',,', 'a,', ',a', 'a,,b', '\n']) {
    t.throws(
      () => readConfig({ API_KEYS: keys }),
      /API_KEYS has .*empty.*unset it to serve without keys/,
      JSON.stringify(keys),
    );
  }
  t.equal(readConfig({ API_KEYS: '' }).API_KEYS, '', 'set but empty is unset');
  t.equal(readConfig({ API_KEYS: 'a, b' }).API_KEYS, 'a, b');
  t.end();
});

t.test('wrong keys of an address are tolerated twenty times a minute', (t) => {
  const keys = new WrongKeys(3);
  for (let i = 0; i < 20; i++) keys.count('a', 1000);
  t.throws(() => keys.count('a', 31_000), { code: 'rate_limited', more: { retryAfter: 30 } });
  keys.count('b', 31_000);
  keys.count('a', 62_000);
  for (const address of ['c', 'd', 'e', 'f']) for (let i = 0; i < 20; i++) keys.count(address, 63_000);
  for (const address of ['d', 'e', 'f']) t.throws(() => keys.count(address, 63_000), `${address} is kept in mind`);
  keys.count('c', 63_000);
  t.pass('of more addresses than there is room for the oldest is forgotten');
  t.end();
});

t.test('a right key is served where wrong ones come from too', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference', API_KEYS: 'right' });
  const ask = (key: string) => fetch(`${url}/models`, { headers: { authorization: `Bearer ${key}` } });
  for (let i = 0; i < 20; i++) t.equal((await ask(`wrong ${i}`)).status, 401);
  const refused = await ask('wrong');
  t.equal(refused.status, 429);
  t.match(refused.headers.get('retry-after'), /^[1-9]\d?$/);
  t.equal((await ask('right')).status, 200);
  t.equal((await fetch(`${url}/models`)).status, 401, 'no key is no guess');
});

t.test('TRUST_PROXY', (t) => {
  const cases: [string | undefined, [address: string, hop: number, trusted: boolean][]][] = [
    [undefined, [['10.0.0.1', 0, false]]],
    [
      '2',
      [
        ['10.0.0.1', 0, true],
        ['1.2.3.4', 1, true],
        ['1.2.3.4', 2, false],
      ],
    ],
    [
      '10.0.0.1, 192.168.0.0/16',
      [
        ['10.0.0.1', 0, true],
        ['::ffff:10.0.0.1', 0, true],
        ['192.168.9.9', 3, true],
        ['10.0.0.2', 0, false],
      ],
    ],
    [
      'fd00::/8',
      [
        ['fd00::1', 0, true],
        ['fe80::1', 0, false],
        ['10.0.0.1', 0, false],
      ],
    ],
  ];
  for (const [setting, expected] of cases) {
    const trust = trustOf(setting);
    for (const [address, hop, trusted] of expected)
      t.equal(trust(address, hop), trusted, `${setting}: ${address} ${hop}`);
  }
  for (const bad of ['10.0.0', '10.0.0.1/99', ':::', 'yes', '0', '-1', '10.0.0.1;10.0.0.2', '10.0.0.1/8/8', '::/129']) {
    t.throws(() => readConfig({ TRUST_PROXY: bad }), /TRUST_PROXY is ".*is no address/, bad);
  }
  t.end();
});

const from = (address: string) => ({ 'x-forwarded-for': address });

t.test('behind a trusted proxy callers are told apart', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference', TRUST_PROXY: '1', RATE_LIMIT: '2' });
  const post = (address: string) => fetch(`${url}/img2img`, { method: 'POST', headers: from(address) });
  for (const status of [415, 415, 429]) t.equal((await post('10.1.1.1')).status, status);
  t.equal((await post('10.2.2.2')).status, 415, 'each address has its own count');
  const interrupt = await fetch(`${url}/sdapi/v1/interrupt`, { method: 'POST', headers: from('10.1.1.1') });
  t.equal(interrupt.status, 200);
  const problem = await fetch(`${url}/nothing`, { headers: { ...from('10.1.1.1'), 'x-forwarded-prefix': '/service' } });
  t.match(await problem.json(), { type: '/service/problems/not_found' });
  for (const odd of ['//evil.example', 'https://evil.example', '/a b', '/<x>']) {
    const answer = await fetch(`${url}/nothing`, { headers: { 'x-forwarded-prefix': odd } });
    t.match(await answer.json(), { type: '/problems/not_found' }, odd);
  }
});

t.test('behind a proxy that is not trusted a task must be named', async (t) => {
  const { url, engine } = await startApp(t, { MODELS_DIR: 'test/reference' });
  const body = JSON.stringify({
    init_images: [cottage.toString('base64')],
    ...{ steps: 150, width: 64, height: 64, denoising_strength: 1, batch_size: 8, force_task_id: 'mine' },
  });
  const headers = { 'content-type': 'application/json', ...from('10.1.1.1') };
  const running = fetch(`${url}/sdapi/v1/img2img`, { method: 'POST', body, headers });
  while (engine.status.inFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const header of [from('10.2.2.2'), { forwarded: 'for=10.2.2.2' }]) {
    for (const [method, path] of [
      ['GET', 'progress'],
      ['POST', 'interrupt'],
    ] as const) {
      const answer = await fetch(`${url}/sdapi/v1/${path}`, { method, headers: header });
      t.equal(answer.status, 400, path);
      t.match(await answer.json(), { error: 'invalid_request', errors: 'id_task', detail: /TRUST_PROXY/ });
    }
  }
  const problem = await fetch(`${url}/nothing`, { headers: { 'x-forwarded-prefix': '/service' } });
  t.match(await problem.json(), { type: '/problems/not_found' }, 'its prefix is not believed either');
  const progress = await fetch(`${url}/sdapi/v1/progress?id_task=mine`, { headers: from('10.1.1.1') });
  t.match(await progress.json(), { state: { job: 'mine' } });
  await fetch(`${url}/sdapi/v1/interrupt?id_task=mine`, { method: 'POST', headers: from('10.1.1.1') });
  t.match(await (await running).json(), { images: [] });
});
