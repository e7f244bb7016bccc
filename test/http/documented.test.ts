// The examples of docs/api.md, as they stand there but for the port and the outputs' place.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import sharp from 'sharp';
import t from 'tap';
import { missing } from '../programs.js';
import { events, startApp } from '../start.js';

const run = promisify(execFile);
const examples = [...readFileSync('docs/api.md', 'utf8').matchAll(/```sh\n(.*?)```/gs)].map(([, text]) => text!);

t.test('the examples of docs/api.md', { skip: missing('curl') }, async (t) => {
  const { url } = await startApp(t);
  const folder = t.testdir();
  const answers: string[] = [];
  for (const example of examples) {
    const code = example.replaceAll('http://127.0.0.1:8080', url).replaceAll(/-o (\S+)/g, `-o ${folder}/$1`);
    const { stdout } = await run('sh', ['-ec', code], { maxBuffer: 2 ** 26 });
    answers.push(stdout);
  }
  const [json, stream, , , dry] = answers;
  t.match(JSON.parse(json!), { images: [{ seed: 7 }, { seed: 8 }], parameters: { seed: 7 } });
  const told = events(stream!);
  t.match(told[0], { event: 'queued' });
  t.match(
    told.find(({ event }) => event === 'step'),
    { data: { preview: { format: 'png' } } },
  );
  t.match(told.at(-1), { event: 'done' });
  t.match(JSON.parse(dry!), { dry_run: true, parameters: { steps: 40 } });
  for (const [file, format] of [
    ['masked.webp', 'webp'],
    ['drawing.png', 'png'],
    ['sheet.png', 'png'],
    ['marked.png', 'png'],
  ]) {
    t.equal((await sharp(readFileSync(`${folder}/${file}`)).metadata()).format, format, String(file));
  }
});
