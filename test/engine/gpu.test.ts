import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseDevices, unusedGpus } from '../../src/engine/host/devices.js';
import { GpuTelemetry } from '../../src/engine/host/gpu-telemetry.js';
import type { GpuReading, GpuSource } from '../../src/engine/shared/gpu/gpu-reading.js';
import { openNvidiaSmi, parseNvidiaSmi } from '../../src/engine/shared/gpu/nvidia-smi.js';
import { openNvml } from '../../src/engine/shared/gpu/nvml.js';
import { missing } from '../programs.js';
import { startService } from '../start.js';

const gibibyte = 2 ** 30;

function compileStub(folder: string): string {
  const library = join(folder, 'libnvidia-ml.so.1');
  execFileSync('gcc', ['-shared', '-fPIC', '-o', library, 'test/engine/nvml/stub.c']);
  return library;
}

t.test('NVML: a whole GPU, and the instances of a split one', { skip: missing('gcc') }, async (t) => {
  const source = await openNvml(compileStub(t.testdir()));
  const told = (await source!.read()).map(({ gpu, uuid, mig, memory, utilization }) => [
    gpu,
    uuid,
    mig,
    memory.used / gibibyte,
    memory.total / gibibyte,
    utilization,
  ]);
  t.strictSame(told, [
    ['0', 'GPU-whole', false, 5, 80, 0.42],
    ['1:0', 'MIG-first', true, 1, 10, undefined],
    ['1:1', 'MIG-second', true, 3, 20, undefined],
  ]);
  const devices = parseDevices('auto', await source!.read(), () => true);
  t.strictSame(
    devices.map(({ name, visible }) => [name, visible]),
    [
      ['cuda:0', '0'],
      ['cuda:1:0', 'MIG-first'],
      ['cuda:1:1', 'MIG-second'],
    ],
    'DEVICES=auto takes them all',
  );
  await source!.close();
});

t.test('NVML: a driver that takes its time does not block the process', { skip: missing('gcc') }, async (t) => {
  const source = await openNvml(compileStub(t.testdir()));
  process.env.STUB_NVML = 'slow';
  t.teardown(() => delete process.env.STUB_NVML);
  let turns = 0;
  const ticking = setInterval(() => turns++, 10);
  await source!.read();
  clearInterval(ticking);
  t.ok(turns > 5, `the event loop turned ${turns} times meanwhile`);
});

t.test('no library, or a library without a driver: no readings at all', { skip: missing('gcc') }, async (t) => {
  t.equal(await openNvml('libno-such-library.so.1'), undefined);
  process.env.STUB_NVML = 'down';
  t.teardown(() => delete process.env.STUB_NVML);
  t.equal(await openNvml(compileStub(t.testdir())), undefined);
});

t.test('nvidia-smi: its table, without what it does not know', async (t) => {
  const table = [
    '0, GPU-a, NVIDIA A100, 999.01, Disabled, 1024, 81920, 37',
    '1, GPU-b, NVIDIA A100, 999.01, Enabled, 10, 40960, [N/A]',
    '2, GPU-c, NVIDIA T4, 999.01, [N/A], 512, 16384, [N/A]',
  ].join('\n');
  t.strictSame(
    parseNvidiaSmi(`${table}\n`).map(({ gpu, memory, utilization }) => [gpu, memory.used, memory.total, utilization]),
    [
      ['0', gibibyte, 80 * gibibyte, 0.37],
      ['2', gibibyte / 2, 16 * gibibyte, undefined],
    ],
  );
  const program = join(t.testdir(), 'nvidia-smi');
  writeFileSync(program, `#!/bin/sh\necho '${table.split('\n')[0]}'\n`);
  chmodSync(program, 0o755);
  t.equal((await (await openNvidiaSmi(program))!.read())[0]!.uuid, 'GPU-a');
  t.equal(await openNvidiaSmi(join(t.testdir(), 'absent')), undefined);
});

t.test('a driver that hangs does not keep the service from starting', async (t) => {
  const source: GpuSource = { name: 'test', read: () => new Promise(() => {}), close: async () => {} };
  const telemetry = new GpuTelemetry(source, 20);
  await telemetry.start();
  t.strictSame(telemetry.gpus, []);
  await telemetry.close();
});

t.test('telemetry keeps the peak, and tells nothing that is old', async (t) => {
  let used = 3;
  let answers = true;
  const source: GpuSource = {
    name: 'test',
    read: async () => {
      if (!answers) throw new Error('the driver is gone');
      return [{ gpu: '0', uuid: 'u', memory: { used, total: 9 } } as GpuReading];
    },
    close: async () => {},
  };
  const telemetry = new GpuTelemetry(source, 20);
  await telemetry.start();
  t.teardown(() => telemetry.close());
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  t.equal(telemetry.gpus[0]!.memory.used, 3);
  used = 1;
  await until(() => telemetry.gpus[0]?.memory.used === 1);
  t.equal(telemetry.gpus[0]!.peakBytes, 3);
  answers = false;
  await until(() => telemetry.gpus.length === 0);
  answers = true;
  await until(() => telemetry.gpus.length === 1);
});

t.test('/metrics has the gauges of the GPUs there are, and none without', { skip: missing('gcc') }, async (t) => {
  const folder = t.testdir();
  compileStub(folder);
  const scrape = async (environment: Record<string, string>) => {
    const { url } = await startService(t, { DRAIN_DELAY_MS: '0', ...environment });
    return await (await fetch(`${url}/metrics`)).text();
  };
  const metrics = await scrape({ LD_LIBRARY_PATH: folder });
  for (const line of [
    `img2img_gpu_memory_used_bytes{gpu="0",uuid="GPU-whole"} ${5 * gibibyte}`,
    `img2img_gpu_memory_total_bytes{gpu="1:1",uuid="MIG-second"} ${20 * gibibyte}`,
    `img2img_gpu_memory_peak_bytes{gpu="0",uuid="GPU-whole"} ${5 * gibibyte}`,
    'img2img_gpu_utilization_ratio{gpu="0",uuid="GPU-whole"} 0.42',
    'img2img_gpu_info{gpu="0",uuid="GPU-whole",name="NVIDIA Stub 80GB",driver="999.01",mig="false"} 1',
  ]) {
    t.ok(metrics.includes(`${line}\n`), line);
  }
  t.notMatch(metrics, /utilization_ratio\{gpu="1:/);
  t.notMatch(await scrape({}), /img2img_gpu_\w+\{/);
});

t.test('a GPU that no worker runs on, and why', async (t) => {
  const gpus = ['0', '1'].map((gpu) => ({ gpu, uuid: `GPU-${gpu}`, name: 'stub', mig: false }));
  for (const [spec, hasProvider, expected] of [
    ['auto', true, undefined],
    ['auto', false, { reason: 'no_provider', gpus: ['0', '1'] }],
    ['cpu', false, { reason: 'not_named', gpus: ['0', '1'] }],
    ['cuda:1', true, { reason: 'not_named', gpus: ['0'] }],
    ['cuda:0,cuda:1', true, undefined],
  ] as const)
    t.strictSame(
      unusedGpus(
        spec,
        parseDevices(spec, gpus, () => hasProvider),
        gpus,
      ),
      expected,
      `${spec} ${hasProvider}`,
    );
});

t.test('the CPU in the place of a GPU is loud, unless it is asked for', { skip: missing('gcc') }, async (t) => {
  const folder = t.testdir();
  compileStub(folder);
  for (const [DEVICES, reason, warned] of [
    ['auto', 'no_provider', 1],
    ['cpu', 'not_named', 0],
  ] as const) {
    const { url, log } = await startService(t, { DEVICES, LD_LIBRARY_PATH: folder, DRAIN_DELAY_MS: '0' });
    const get = async (path: string) => (await fetch(url + path)).text();
    t.match(await get('/metrics'), `\nimg2img_gpu_unused{reason="${reason}"} 3\n`);
    const warnings = log.filter(({ msg }) => /NVIDIA GPU is here and not used.*cuda image/.test(String(msg)));
    t.strictSame(
      warnings.map(({ level, gpus }) => [level, gpus]),
      Array(warned).fill([40, ['0', '1:0', '1:1']]),
      `DEVICES=${DEVICES}`,
    );
    for (const { name, runnable, providers } of JSON.parse(await get('/models')).models)
      if (runnable) t.strictSame(providers, ['cpu'], name);
  }
});
