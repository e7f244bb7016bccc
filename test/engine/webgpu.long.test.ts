// WebGPU on a software adapter: what any GPU would run, slower. And what holds of every device that can be lost.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { Engine, type Img2ImgRequest } from '../../src/engine/host/engine.js';
import { probeProvider } from '../../src/engine/host/provider-probe.js';
import { isDeviceLost } from '../../src/engine/shared/faults.js';
import { missing } from '../programs.js';

const side = 32;
const request = (prompt: string): Img2ImgRequest => ({
  pixels: { data: Uint8Array.from({ length: 3 * side ** 2 }, (_, i) => (i * 7) % 256), width: side, height: side },
  ...{ prompt, negativePrompt: '', strength: 0.8, guidanceScale: 5, steps: 6, scheduler: 'dpmpp_2m', seed: 3 },
});

const folder = t.testdir({ models: {}, cache: {} });
symlinkSync(resolve('test/reference/tiny'), join(folder, 'models/tiny'));

async function start(t: Test, devices: string, workerModule?: string): Promise<Engine> {
  const engine = new Engine({
    ...{ modelsDir: join(folder, 'models'), cacheDir: join(folder, 'cache'), devices, threads: 1 },
    ...{ maxConcurrent: 1, maxQueue: 8, maxPictureBytes: 2 ** 29, stepTimeoutMs: 60_000 },
    ...{ modelMemoryBytes: undefined, workerModule },
  });
  t.teardown(() => engine.close());
  const ready = new Promise((resolve) => engine.once('ready', resolve));
  engine.start();
  await ready;
  return engine;
}

async function picture(engine: Engine, prompt: string): Promise<Uint8Array> {
  const jobs = [{ model: 'tiny', request: request(prompt) }];
  const [made] = await engine.generate(jobs, { signal: new AbortController().signal });
  return made!.pixels.data;
}

const losing = (t: Test) => {
  const address = new URL('webgpu/losing-device.js', import.meta.url);
  address.searchParams.set('marker', join(t.testdir(), 'lost'));
  return address.href;
};

async function losesItsDevice(t: Test, devices: string, expected: Uint8Array): Promise<void> {
  const engine = await start(t, devices, losing(t));
  const exits: string[] = [];
  engine.on('workerExit', ({ reason, requests }) => exits.push(`${reason}, ${requests} run again`));
  t.same(await picture(engine, 'lost'), expected, 'the same picture');
  t.same(exits, ['execution_provider, 1 run again']);
}

t.test('a lost device is told by its text', async (t) => {
  for (const [text, expected] of [
    ['Failed to download data from buffer: [Device] is lost.', true],
    ['WebGPU device lost (2): a valid reason', true],
    ['vkQueueSubmit failed with VK_ERROR_DEVICE_LOST', true],
    ['887A0005: DXGI_ERROR_DEVICE_REMOVED', true],
    ['CUDA failure 700: an illegal memory access was encountered', true],
    ['CUDA failure 719: unspecified launch failure', true],
    ['CUDA failure 2: out of memory', false],
    ['Got invalid dimensions for input: sample', false],
  ] as const)
    t.equal(isDeviceLost(new Error(text)), expected, text);
});

t.test('a device that is lost while a picture is decoded is a lost worker', async (t) => {
  const calm = await start(t, 'cpu');
  await losesItsDevice(t, 'cpu', await picture(calm, 'lost'));
});

t.test('a provider that cannot run here is refused with a sentence', async (t) => {
  const before = process.env.VK_ICD_FILENAMES;
  process.env.VK_ICD_FILENAMES = '/nowhere.json'; // no adapter, whatever the machine has
  t.teardown(() => setEnvironment({ VK_ICD_FILENAMES: before }));
  const other = process.platform === 'darwin' ? 'dml' : 'coreml';
  t.match(probeProvider(other), new RegExp(`^onnxruntime has no ${other} on ${process.platform} \\w+, it has cpu`));
  if (process.platform !== 'linux') return;
  t.match(probeProvider('webgpu'), /^onnxruntime finds no device for webgpu \(.*adapter.*\)$/);
  t.throws(() => new Engine({ devices: 'webgpu' } as never), {
    message: /^DEVICES names webgpu; onnxruntime finds no device for webgpu \(.*\)\.$/,
  });
});

t.test('pictures of WebGPU are those of the CPU, within what float32 sums differ by', async (t) => {
  const adapter = softwareAdapter(t);
  if (typeof adapter === 'string') return t.pass(`skipped: ${adapter}`, { skip: adapter });
  setEnvironment(adapter);
  t.equal(probeProvider('webgpu'), undefined, 'there is an adapter');
  const [cpu, webgpu] = [await start(t, 'cpu'), await start(t, 'webgpu')];
  t.same(
    webgpu.status.workers.map(({ device, provider }) => ({ device, provider })),
    [{ device: 'webgpu', provider: 'webgpu' }],
  );
  const [expected, made] = [await picture(cpu, 'comic'), await picture(webgpu, 'comic')];
  const most = Math.max(...made.map((value, i) => Math.abs(value - expected[i]!)));
  t.ok(most <= 2, `values differ by at most ${most} of 255`);
  t.ok(new Set(made).size > 16, 'it is a picture');
  await t.test('and a lost one is a lost worker', async (t) =>
    losesItsDevice(t, 'webgpu', await picture(webgpu, 'lost')),
  );
});

/** What the environment needs for it, or why it is not there. */
function softwareAdapter(t: Test): Record<string, string> | string {
  if (process.platform !== 'linux') return 'the software adapter is unpacked from packages of Debian';
  const without = missing({ program: 'apt-get', package: 'apt' }, { program: 'dpkg-deb', package: 'dpkg' });
  if (without) return without;
  const folder = mkdtempSync(join(tmpdir(), 'img2img-lavapipe-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  try {
    const script = fileURLToPath(new URL('webgpu/lavapipe.sh', import.meta.url));
    const text = execFileSync('sh', [script, folder], {
      encoding: 'utf8',
      timeout: 120_000,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const lines = text
      .trim()
      .split('\n')
      .map((line) => line.split('=') as [string, string]);
    const before = Object.fromEntries(lines.map(([name]) => [name, process.env[name]]));
    t.teardown(() => setEnvironment(before));
    return Object.fromEntries(lines);
  } catch (error) {
    return `Mesa of Debian's backports does not come here (${
      String((error as { stderr?: Buffer }).stderr ?? error)
        .trim()
        .split('\n')[0]
    })`;
  }
}

function setEnvironment(values: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}
