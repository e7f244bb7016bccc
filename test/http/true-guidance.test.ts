// Flux, whose guidance is an input or nothing: what a request for it means over HTTP.

import { join } from 'node:path';
import t from 'tap';
import { writeFluxFolder } from '../pipeline/flux.js';
import { writeFolder } from '../pipeline/folders.js';
import { cottage, form, startApp } from '../start.js';

const modelsDir = t.testdir();
writeFluxFolder(join(modelsDir, 'dev'), 'flux-dev');
writeFluxFolder(join(modelsDir, 'schnell'), 'flux-schnell');
writeFolder(modelsDir, 'sd', {}, 'plain');

type Fields = Record<string, string | number>;
const quick = { model: 'dev', prompt: 'blue ink', steps: 5, seed: 7, width: 32, height: 32 };

t.test('true guidance', async (t) => {
  const { url } = await startApp(t, {
    MODELS_DIR: modelsDir,
    THREADS: '1',
    DEFAULT_MODEL: 'plain',
    PRELOAD_MODELS: 'dev',
  });
  const post = (fields: Fields) =>
    fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { ...quick, ...fields }) });

  await t.test('what is sent, and what it comes to', async (t) => {
    const cases: [sent: Fields, trueGuidance: string | null, guidance: string, warnings?: string][] = [
      [{}, '1', '7'],
      [{ guidance: 3.5 }, '1', '3.5'],
      [{ negative_prompt: 'red' }, '1', '7', 'negative_prompt_unused'],
      [{ negative_prompt: 'red', true_guidance: 2 }, '2', '7'],
      [{ true_guidance: 0 }, '0', '7'],
      [{ model: 'schnell' }, '1', '0'],
      [{ model: 'schnell', guidance: 4 }, '1', '4', 'guidance_unused'],
      [{ model: 'schnell', guidance: 4, true_guidance: 2, negative_prompt: 'red' }, '2', '4', 'guidance_unused'],
      [{ model: 'plain', true_guidance: 2 }, null, '7.5', 'true_guidance_unused'],
    ];
    for (const [sent, trueGuidance, guidance, warnings = null] of cases) {
      const { status, headers } = await post(sent);
      const told = ['true-guidance', 'guidance', 'warnings'].map((name) => headers.get(`img2img-${name}`));
      t.strictSame([status, ...told], [200, trueGuidance, guidance, warnings], JSON.stringify(sent));
    }
    t.match(await (await post({ true_guidance: 30.5 })).json(), { status: 400, code: 'invalid_request' });
  });

  await t.test('where no strength is sent it is 0.6, and shown', async (t) => {
    const { headers } = await post({ steps: 10 });
    const told = ['strength', 'influence', 'steps-run'].map((name) => headers.get(`img2img-${name}`));
    t.strictSame(told, ['0.6', '40', '6']);
    const dry = (await (await post({ steps: 10, strength: 0.58, dry_run: 'true' })).json()) as { parameters: object };
    t.match(dry.parameters, { steps: 10, steps_run: 6, unet_calls: 6, true_guidance: 1 });
    const { models } = (await (await fetch(`${url}/models`)).json()) as { models: { name: string }[] };
    const of = (name: string) => models.find((model) => model.name === name);
    t.match(of('dev'), { kind: 'flux', defaults: { steps: 28, guidance: 7, influence: 40, scheduler: 'flow_euler' } });
    t.match(of('schnell'), { kind: 'flux-schnell', defaults: { steps: 4, guidance: 0, influence: 40 } });
    t.notOk(
      'influence' in (of('plain') as unknown as { defaults: object }).defaults,
      'the usual one goes without saying',
    );
  });

  await t.test('schedulers that do not fit are refused with those that do', async (t) => {
    const refused = await (await post({ scheduler: 'euler' })).json();
    t.match(refused, { status: 422, errors: [{ pointer: '#/scheduler', detail: /but with: flow_euler/ }] });
    t.match(await (await post({ scheduler: 'flow_heun' })).json(), {
      status: 422,
      errors: [{ pointer: '#/scheduler', detail: /flow_heun lays its own sigmas/ }],
    });
  });
});
