// As a new user would: a LoRA is dropped into the folder while the server runs, and used through curl, the openai package, and PyPI's
// webuiapi (WEBUIAPI_PYTHON, as in webuiapi.test.ts).

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import OpenAI, { toFile } from 'openai';
import t from 'tap';
import { writeCheckpointFolder } from '../pipeline/checkpoints.js';
import { writeLora } from '../pipeline/lora/loras.js';
import { missing } from '../programs.js';
import { startService } from '../start.js';

const run = promisify(execFile);
const python = process.env.WEBUIAPI_PYTHON;
const picture = fileURLToPath(new URL('../../docs/pictures/cottage.png', import.meta.url));

t.test('a LoRA that is put there while the server runs', async (t) => {
  const modelsDir = t.testdir();
  writeCheckpointFolder(join(modelsDir, 'sd'), 'sd');
  const lorasDir = join(modelsDir, 'loras');
  const { url } = await startService(t, {
    MODELS_DIR: modelsDir,
    CACHE_DIR: join(modelsDir, '.cache'),
    THREADS: '1',
  });
  const lists = async () => {
    const all = (await (await fetch(`${url}/loras`)).json()) as { loras: { name: string; runnable: boolean }[] };
    const webui = (await (await fetch(`${url}/sdapi/v1/loras`)).json()) as { name: string }[];
    return { all: all.loras, webui };
  };
  t.strictSame(await lists(), { all: [], webui: [] });
  mkdirSync(lorasDir);
  writeLora(join(lorasDir, 'ink.safetensors'), 'peft');
  while ((await lists()).all.length === 0) await sleep(100);
  t.match(await lists(), { all: [{ name: 'ink', runnable: true }], webui: [{ name: 'ink' }] });

  const fields = { prompt: 'a red glass', steps: 2, strength: 1, seed: 5, width: 64, height: 64 };

  await t.test('curl', { skip: missing('curl') }, async (t) => {
    const ask = async (...more: string[]) => {
      const form = Object.entries(fields).flatMap(([name, value]) => ['-F', `${name}=${value}`]);
      const [out, headers] = [join(modelsDir, 'picture.png'), join(modelsDir, 'headers.txt')];
      await run('curl', [
        ...['--silent', '--fail-with-body', '-D', headers, '-o', out, '-F', `image=@${picture}`, ...form, ...more],
        `${url}/img2img`,
      ]);
      return { bytes: readFileSync(out), headers: readFileSync(headers, 'utf8') };
    };
    const [without, withIt] = [await ask(), await ask('-F', 'lora=ink:0.8')];
    t.match(withIt.headers, /img2img-loras: ink:0\.8;sha256=[0-9a-f]{64}/i);
    t.notOk(withIt.bytes.equals(without.bytes), 'the picture is another one');
  });

  await t.test('the openai package', async (t) => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any' });
    const image = await toFile(readFileSync(picture), 'cottage.png', { type: 'image/png' });
    const { strength, seed, steps, prompt } = fields;
    const size = '64x64' as '256x256';
    const ask = (more: object) =>
      client.images.edit({ image, prompt, size, ...{ strength, seed, steps }, ...more }).withResponse();
    const [without, withIt] = [await ask({}), await ask({ lora: 'ink:0.8' })];
    t.match(withIt.response.headers.get('img2img-loras'), /^ink:0\.8;sha256=/);
    t.not(withIt.data.data?.[0]?.b64_json, without.data.data?.[0]?.b64_json);
  });

  const skip = !python && !process.env.REQUIRE_PROGRAMS && 'needs WEBUIAPI_PYTHON, a Python with webuiapi';
  await t.test('webuiapi', { skip }, async (t) => {
    const script = join(modelsDir, 'lora.py');
    writeFileSync(script, webui);
    const { hostname, port } = new URL(url);
    const { stdout } = await run(python ?? 'WEBUIAPI_PYTHON is not set', [script, hostname, port, picture]);
    t.strictSame(JSON.parse(stdout.slice(stdout.indexOf('{'))), { loras: ['ink'], changed: true, again: true });
  });
});

const webui = `
import json, sys
import webuiapi
from PIL import Image

host, port, picture = sys.argv[1:]
api = webuiapi.WebUIApi(host=host, port=int(port), sampler="Euler", steps=2)
ask = lambda prompt: list(api.img2img(
    images=[Image.open(picture).convert("RGB")], prompt=prompt, seed=5, width=64, height=64, denoising_strength=1,
).image.getdata())
plain, drawn, again = ask("a red glass"), ask("a red glass <lora:ink:0.8>"), ask("a red glass <lora:ink:0.8>")
json.dump({"loras": [lora["name"] for lora in api.get_loras()], "changed": plain != drawn, "again": drawn == again}, sys.stdout)
`;
