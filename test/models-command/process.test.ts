// The command as its users start it: a process of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { generate, requestOf } from '../pipeline/cases.js';
import { checkpointCases, writeSingleFile } from '../pipeline/checkpoints.js';
import { repository, sendFile, startHub } from './hub.js';

const entry = fileURLToPath(new URL('../../src/models.ts', import.meta.url));
const token = 'hf_of-a-test';
const name = 'some-org--a.model_1--tiny.safetensors';

function start(args: readonly string[], environment: Record<string, string>): ChildProcess {
  const { PATH = '' } = process.env;
  // A setting of the server's that is wrong is none of the command's business.
  const env = { PATH, PORT: 'nonsense', HF_TOKEN: token, ...environment };
  return spawn(process.execPath, ['--import=tsx', entry, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
}

async function outcome(child: ChildProcess): Promise<{ status: number | null; out: string; err: string }> {
  const written = { out: '', err: '' };
  child.stdout!.on('data', (chunk) => {
    written.out += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    written.err += chunk;
  });
  const [status] = await once(child, 'close');
  return { status, ...written };
}

t.test('a checkpoint is pulled, stopped and gone on with, verified, listed, and makes a picture', async (t) => {
  const parent = t.testdir({ models: {} });
  const modelsDir = join(parent, 'models');
  const weights = readFileSync(writeSingleFile(join(parent, 'tiny.safetensors'), 'sd', 'float16'));
  const hub = await startHub(t, { 'tiny.safetensors': weights });
  const environment = { MODELS_DIR: modelsDir, HF_ENDPOINT: hub.url };

  const half = Math.floor(weights.length / 2);
  const part = () => {
    const folder = join(modelsDir, `.${name}.pull`);
    const found = readdirSync(folder).find((each) => each.endsWith('.part'));
    return found === undefined ? 0 : statSync(join(folder, found)).size;
  };
  let stopped: ChildProcess | undefined;
  hub.onFiles = (request, response, body) => {
    sendFile(request, response, body, half, () => {
      if (part() === half && !stopped!.killed) stopped!.kill('SIGINT');
      return false; // the connection is the command's to end
    });
    return true;
  };
  stopped = start(['pull', `${repository}@main`, 'tiny.safetensors'], environment);
  const first = await outcome(stopped);
  t.equal(first.status, 1);
  t.match(first.err, /models: stopped by SIGINT; a pull that is given again goes on from here\n$/);

  hub.onFiles = () => false;
  const second = await outcome(start(['pull', `${repository}@main`, 'tiny.safetensors'], environment));
  t.equal(second.status, 0, second.err);
  t.equal(hub.asked.at(-1)?.range, `bytes=${half}-`);
  t.match(second.err, /tiny\.safetensors: .* of .* MB\n/, 'plain lines where there is no terminal');
  t.notMatch(first.err + second.err + second.out, token);
  t.ok(readFileSync(join(modelsDir, name)).equals(weights));

  const verified = await outcome(start(['verify', join(modelsDir, name)], environment));
  t.equal(verified.status, 0, verified.err);
  const listed = await outcome(start(['list', '--json'], environment));
  t.match(JSON.parse(listed.out), {
    models: [{ name: name.slice(0, -'.safetensors'.length), kind: 'sd', runnable: true, bytes: weights.length }],
  });

  writeFileSync(
    join(modelsDir, `${name.slice(0, -'.safetensors'.length)}.img2img.json`),
    '{"size": {"native": 64, "min": 64}}',
  );
  const model = await loadModel(join(modelsDir, name), {
    provider: 'cpu',
    threads: 1,
    cacheDir: join(parent, 'cache'),
  });
  const request = requestOf(checkpointCases.find((each) => each.family === 'sd' && each.width === 64)!);
  const [picture] = await generate(model, [request]);
  t.equal(picture!.pixels.data.length, 3 * 64 * 64);
  await releaseModel(model);
});

t.test('a reader that closes its end has read enough', async (t) => {
  const child = start(['inspect', 'models/paintbox', '--json'], {});
  child.stdout!.destroy();
  t.match(await outcome(child), { status: 0, err: '' });
});
