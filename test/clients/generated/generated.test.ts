// Clients that generators make of openapi.json, built and run: README.md says with what. CLIENT_TOOLS names the folder that tools.sh filled.

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import t from 'tap';
import { documentPath } from '../../../openapi/document.js';
import { cottage, form, startApp } from '../../start.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../../', import.meta.url));
const tools = process.env.CLIENT_TOOLS;
const execute = promisify(execFile);
const skip = !tools && 'needs CLIENT_TOOLS (npm run test:clients)';
const seed = 2 ** 32 - 1;

interface Client {
  /** What lies beside this file for it. */
  readonly folder: string;
  /** Commands, run in a copy of the folder with $TOOLS, $DOCUMENT and $ROOT. */
  readonly build: string;
  readonly run: string;
}

const onlyCode = '--global-property apiTests=false,modelTests=false,apiDocs=false,modelDocs=false';
const generator = (name: string, options: string) =>
  `java -XX:TieredStopAtLevel=1 -jar "$TOOLS/openapi-generator.jar" generate --generator-name ${name} --input-spec "$DOCUMENT" ${onlyCode} ${options}`;
const clients: Record<string, Client> = {
  'oapi-codegen, Go': {
    folder: 'go',
    build:
      'mkdir api && "$TOOLS/bin/oapi-codegen" -generate types,client -package api -o api/api.go "$DOCUMENT" && go build -o client .',
    run: './client',
  },
  'openapi-python-client': {
    folder: 'python-client',
    build:
      '"$TOOLS/python/bin/openapi-python-client" generate --path "$DOCUMENT" --config config.yaml --meta none --output-path api --fail-on-warning',
    run: '"$TOOLS/python/bin/python" main.py',
  },
  'openapi-generator, Java': {
    folder: 'java',
    build: `${generator('java', '--output . --additional-properties useSingleRequestParameter=true')} &&
      mv Main.java src/main/java && mvn --quiet --batch-mode -Dmaven.test.skip=true compile dependency:build-classpath -Dmdep.outputFile=classpath`,
    run: 'java -cp "target/classes:$(cat classpath)" Main',
  },
  'openapi-generator, Python': {
    folder: 'python',
    build: generator('python', '--output .'),
    run: '"$TOOLS/python/bin/python" main.py',
  },
  'openapi-generator, TypeScript': {
    folder: 'typescript',
    build: `${generator('typescript-fetch', '--output api')} && "$ROOT/node_modules/.bin/tsc" --project .`,
    run: 'node built/main.js',
  },
};

t.test('generated clients send a form with a mask, and read a picture, JSON and a problem', { skip }, async (t) => {
  if (!tools) throw new Error('CLIENT_TOOLS is not set');
  const { url } = await startApp(t, { API_KEYS: 'secret' });
  const work = join(tools, 'clients');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const [picture, mask] = [join(work, 'picture.png'), join(work, 'mask.png')];
  writeFileSync(picture, cottage);
  const half = { input: { create: { width: 128, height: 256, channels: 3, background: 'white' } } } as const;
  const black = { create: { width: 256, height: 256, channels: 3, background: 'black' } } as const;
  await sharp(black)
    .composite([{ ...half, left: 0, top: 0 }])
    .png()
    .toFile(mask);

  // What all of them must get.
  const asked = form(cottage, { prompt: 'watercolor painting', width: 128, height: 128, steps: 2, seed });
  asked.append('mask', new Blob([readFileSync(mask)]), 'mask.png');
  const answer = await fetch(`${url}/img2img`, {
    method: 'POST',
    headers: { authorization: 'Bearer secret', accept: 'image/png' },
    body: asked,
  });
  const expected = Buffer.from(await answer.arrayBuffer());
  t.match(await sharp(expected).metadata(), { format: 'png', width: 128, height: 128 });

  for (const [name, { folder, build, run }] of Object.entries(clients)) {
    await t.test(name, async (t) => {
      const cwd = join(work, folder);
      cpSync(join(here, folder), cwd, { recursive: true });
      symlinkSync(join(root, 'node_modules'), join(cwd, 'node_modules'));
      const env = { ...process.env, TOOLS: tools, ROOT: root, DOCUMENT: fileURLToPath(documentPath) };
      // Without tap's loaders, which tsc does not survive.
      const shell = (script: string, ...words: string[]) =>
        execute('sh', ['-ec', `unset NODE_OPTIONS; ${script}`, 'sh', ...words], { cwd, env, maxBuffer: 2 ** 26 });
      const begin = performance.now();
      await shell(build);
      t.comment(`built in ${Math.round((performance.now() - begin) / 1000)} s`);
      const output = join(cwd, 'output.png');
      const { stdout } = await shell(`${run} "$@"`, url, 'secret', picture, mask, output);
      t.ok(readFileSync(output).equals(expected), 'the same bytes as without a generated client');
      t.strictSame(JSON.parse(stdout), {
        seeds: [seed, 0],
        status: 404,
        problem: 'model_not_found',
        edited: seed,
      });
    });
  }
});
