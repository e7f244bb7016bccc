// The examples of docs/clients.md, as they stand there but for the port and the output's place.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import t from 'tap';
import { missing } from '../programs.js';
import { startApp } from '../start.js';

const examples = [...readFileSync('docs/clients.md', 'utf8').matchAll(/```(sh|js|python)\n(.*?)```/gs)];
const programs = { sh: 'curl', js: 'node', python: 'python3' } as const;
const run = promisify(execFile);

t.test('the examples for curl, JavaScript, Python and the openai package', async (t) => {
  t.strictSame(
    examples.map(([, language]) => language),
    ['sh', 'js', 'python', 'js'],
  );
  const { url } = await startApp(t);
  // Beside the repository's node_modules, so that an example can import a package.
  const folder = mkdtempSync(join(process.cwd(), 'test', 'clients', 'example-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const [index, [, language, text]] of examples.entries()) {
    const program = programs[language as keyof typeof programs];
    await t.test(`example ${index + 1}: ${program}`, { skip: missing(program) }, async (t) => {
      const output = join(folder, `${index}.png`);
      const code = text!.replaceAll('http://127.0.0.1:8080', url).replaceAll('picture.png', output);
      if (language === 'sh') await run('sh', ['-ec', code]);
      else {
        const file = join(folder, `${index}.${language === 'js' ? 'mjs' : 'py'}`);
        writeFileSync(file, code);
        await run(program, [file]);
      }
      t.match(await sharp(readFileSync(output)).metadata(), { format: 'png', width: 256, height: 256 });
    });
  }
});
