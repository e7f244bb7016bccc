// NVIDIA's management library, called through koffi. Every call runs on a thread of libuv's pool: a hung driver
// does not block this process. Source: NVML API reference (nvml.h); the struct layouts are those of its stable, unversioned calls.

import { createRequire } from 'node:module';
import type { GpuReading, GpuSource } from './gpu-reading.js';

const maxNameLength = 96;
const notSupported = 3;

type Async = (...args: readonly unknown[]) => Promise<number>;

/**
 * @param library name or path of the shared library
 * @returns undefined where the library is not there, or has no driver to talk to
 */
export async function openNvml(library = 'libnvidia-ml.so.1'): Promise<GpuSource | undefined> {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi').default;
  let lib: ReturnType<typeof koffi.load>;
  try {
    lib = koffi.load(library);
  } catch {
    return undefined;
  }
  const memory = koffi.struct({ total: 'uint64_t', free: 'uint64_t', used: 'uint64_t' });
  const utilization = koffi.struct({ gpu: 'uint32_t', memory: 'uint32_t' });
  const text = 'char *';
  const handle = koffi.out(koffi.pointer('void *'));
  const number = koffi.out(koffi.pointer('uint32_t'));
  /** The function as a promise of its return code; one that an old driver lacks is `not supported`. */
  const bind = (name: string, parameters: readonly unknown[]): Async => {
    try {
      const bound = lib.func(name, 'int', parameters as never);
      return (...args) =>
        new Promise((resolve, reject) => {
          bound.async(...args, (error: unknown, code: number) => (error ? reject(error) : resolve(code)));
        });
    } catch {
      return async () => notSupported;
    }
  };
  const device = 'void *';
  const nvml = {
    init: bind('nvmlInit_v2', []),
    shutdown: bind('nvmlShutdown', []),
    driverVersion: bind('nvmlSystemGetDriverVersion', [text, 'uint32_t']),
    count: bind('nvmlDeviceGetCount_v2', [number]),
    deviceAt: bind('nvmlDeviceGetHandleByIndex_v2', ['uint32_t', handle]),
    name: bind('nvmlDeviceGetName', [device, text, 'uint32_t']),
    uuid: bind('nvmlDeviceGetUUID', [device, text, 'uint32_t']),
    memory: bind('nvmlDeviceGetMemoryInfo', [device, koffi.out(koffi.pointer(memory))]),
    utilization: bind('nvmlDeviceGetUtilizationRates', [device, koffi.out(koffi.pointer(utilization))]),
    migMode: bind('nvmlDeviceGetMigMode', [device, number, number]),
    migCount: bind('nvmlDeviceGetMaxMigDeviceCount', [device, number]),
    migAt: bind('nvmlDeviceGetMigDeviceHandleByIndex', [device, 'uint32_t', handle]),
  };

  async function textOf(call: (buffer: Buffer) => Promise<number>): Promise<string> {
    const buffer = Buffer.alloc(maxNameLength);
    expectOk(await call(buffer));
    return buffer.toString('latin1', 0, buffer.indexOf(0));
  }

  async function readDevice(device: unknown, gpu: string, driver: string, mig: boolean): Promise<GpuReading> {
    const used: { total?: number | bigint; used?: number | bigint } = {};
    expectOk(await nvml.memory(device, used));
    const rates: { gpu?: number } = {};
    const measured = (await nvml.utilization(device, rates)) === 0; // not for the instances of a split GPU
    return {
      gpu,
      uuid: await textOf((buffer) => nvml.uuid(device, buffer, buffer.length)),
      name: await textOf((buffer) => nvml.name(device, buffer, buffer.length)),
      driver,
      mig,
      memory: { used: Number(used.used), total: Number(used.total) },
      utilization: measured ? rates.gpu! / 100 : undefined,
    };
  }

  /** The instances of a GPU that is split (MIG): each has its own memory. */
  async function instancesOf(device: unknown): Promise<unknown[]> {
    const [current, count] = [[0], [0]];
    if ((await nvml.migMode(device, current, [0])) !== 0 || current[0] !== 1) return [];
    if ((await nvml.migCount(device, count)) !== 0) return [];
    const instances: unknown[] = [];
    for (let i = 0; i < count[0]!; i++) {
      const instance = [null];
      if ((await nvml.migAt(device, i, instance)) === 0) instances.push(instance[0]); // an empty place is an error
    }
    return instances;
  }

  if ((await nvml.init()) !== 0) return undefined;
  return {
    name: 'nvml',
    async read() {
      const driver = await textOf((buffer) => nvml.driverVersion(buffer, buffer.length));
      const count = [0];
      expectOk(await nvml.count(count));
      const readings: GpuReading[] = [];
      for (let index = 0; index < count[0]!; index++) {
        const device = [null];
        expectOk(await nvml.deviceAt(index, device));
        const instances = await instancesOf(device[0]);
        if (instances.length === 0) readings.push(await readDevice(device[0], String(index), driver, false));
        for (const [i, instance] of instances.entries()) {
          readings.push(await readDevice(instance, `${index}:${i}`, driver, true));
        }
      }
      return readings;
    },
    async close() {
      await nvml.shutdown();
    },
  };
}

/** @throws Error with NVML's return code */
function expectOk(code: number): void {
  if (code !== 0) throw new Error(`NVML answered with code ${code}`);
}
