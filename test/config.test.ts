import { readFileSync } from 'node:fs';
import t from 'tap';
import { settingsMarkdown } from '../docs/settings.js';
import { readConfig } from '../src/config.js';

t.test('an empty environment gives the defaults, frozen', async (t) => {
  const config = readConfig({});
  t.match(config, { HOST: '127.0.0.1', PORT: 8080, MODELS_DIR: './models', DEVICES: 'auto', MAX_QUEUE: 32 });
  t.equal(config.THREADS, undefined);
  t.ok(Object.isFrozen(config));
});

t.test('text becomes numbers, an empty value counts as absent, other variables are ignored', async (t) => {
  const config = readConfig({ PORT: '0', THREADS: '3', MAX_QUEUE: '', PATH: '/bin' });
  t.match(config, { PORT: 0, THREADS: 3, MAX_QUEUE: 32 });
  t.notOk('PATH' in config);
});

t.test('a bad value is a sentence that names setting, value and limit', async (t) => {
  const cases: [environment: Record<string, string>, sentence: string][] = [
    [{ PORT: 'http' }, 'PORT is "http"; it must be an integer.'],
    [{ PORT: '65536' }, 'PORT is "65536"; it must be at most 65535.'],
    [{ MAX_QUEUE: '1.5' }, 'MAX_QUEUE is "1.5"; it must be an integer.'],
    [{ THREADS: '0' }, 'THREADS is "0"; it must be at least 1.'],
    [{ LOG_FORMAT: 'xml' }, 'LOG_FORMAT is "xml"; it must be one of auto, json, text.'],
  ];
  for (const [environment, sentence] of cases) t.throws(() => readConfig(environment), { message: sentence });
});

t.test("the documents' table of settings is what the schema says (npm run docs:settings)", async (t) => {
  const page = readFileSync(new URL('../docs/settings.md', import.meta.url), 'utf8');
  t.ok(page.includes(settingsMarkdown()));
});
