// What a model knows by name: shown in /models, and what a prompt has beyond it is told.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { unknownWords } from '../../src/http/pictures/unknown-words.js';
import { cottage, form, startApp } from '../start.js';

const vocabulary = { styles: ['ink drawing'], qualities: ['low-key'], colours: ['red'], other: ['8-bit'] };

t.test('words outside of the vocabulary, in order, each once', async (t) => {
  const cases: [prompt: string, unknown: string[]][] = [
    ['', []],
    ['Ink Drawing, RED', []],
    ['an ink of the red', []],
    ['a dragon in red, dragon', ['dragon']],
    ['(dragon:1.3), 8k', ['dragon', 'k']],
    ['low key', []],
    ['Café, ink', ['café']],
    ['drawings', ['drawings']],
  ];
  for (const [prompt, unknown] of cases) t.strictSame(unknownWords({ vocabulary }, prompt), unknown, prompt);
  t.strictSame(unknownWords({ vocabulary }, 'red robot', 'blurry'), ['robot', 'blurry'], 'several prompts');
  t.strictSame(unknownWords({}, 'red robot'), [], 'no vocabulary');
});

t.test('the shipped models name their words', async (t) => {
  const { url } = await startApp(t);
  const { models } = (await (await fetch(`${url}/models`)).json()) as {
    models: { name: string; vocabulary: object; generator?: { base: string } }[];
  };
  for (const { name, vocabulary, generator } of models) {
    const folder = generator?.base ?? name;
    t.strictSame(vocabulary, JSON.parse(readFileSync(`models/${folder}/img2img.json`, 'utf8')).vocabulary, name);
  }

  const warningsOf = async (fields: Record<string, string | number>) => {
    const answer = await fetch(`${url}/img2img`, {
      method: 'POST',
      body: form(cottage, { dry_run: 'true', width: 256, height: 256, ...fields }),
    });
    const { warnings } = (await answer.json()) as { warnings: { code: string; detail: string }[] };
    return warnings.filter(({ code }) => code === 'prompt_words_unknown').map(({ detail }) => detail);
  };
  const twelve = 'aa bb cc dd ee ff gg hh ii jj kk ll';
  const cases: [fields: Record<string, string | number>, named: string | undefined][] = [
    [{ prompt: 'neon' }, undefined],
    [{ prompt: 'a neon dragon' }, 'Not known: dragon.'],
    [{ prompt: 'neon', negative_prompt: 'blurry hands' }, 'Not known: hands.'],
    [{ prompt: 'neon', negative_prompt: 'hands', guidance: 1 }, undefined],
    [{ prompt: 'dragon', influence: 100 }, undefined],
    [{ prompt: twelve }, 'Not known: aa, bb, cc, dd, ee, ff, gg, hh, ii, jj, and 2 more.'],
  ];
  for (const [fields, named] of cases) {
    const details = await warningsOf(fields);
    t.strictSame(
      details.map((detail) => detail.slice(detail.indexOf('Not known'))),
      named === undefined ? [] : [named],
      JSON.stringify(fields),
    );
  }

  const picture = await fetch(`${url}/img2img`, {
    method: 'POST',
    body: form(cottage, { prompt: 'dragon', steps: 2, width: 256, height: 256 }),
  });
  t.equal(picture.headers.get('img2img-warnings'), 'prompt_words_unknown', 'a header has the code');
});
