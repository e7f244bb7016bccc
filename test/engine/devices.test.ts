import t from 'tap';
import { deviceModule, type Gpu, parseDevices, threadsPerWorker } from '../../src/engine/host/devices.js';

const whole = (gpu: string) => ({ gpu, uuid: `GPU-${gpu}`, name: 'NVIDIA H100 80GB', mig: false });
const instance = (gpu: string) => ({ gpu, uuid: `MIG-${gpu}`, name: 'NVIDIA H100 80GB MIG 1g.10gb', mig: true });
const withProvider = () => true;

t.test('DEVICES', async (t) => {
  const two = [whole('0'), whole('1')];
  const cases: [spec: string, gpus: readonly Gpu[], expected: string[]][] = [
    ['auto', [], ['cpu']],
    ['auto', two, ['cuda:0', 'cuda:1']],
    ['auto', [whole('0'), instance('1:0'), instance('1:1')], ['cuda:0', 'cuda:1:0', 'cuda:1:1']],
    ['cpu', two, ['cpu']],
    ['cpu*3', [], ['cpu', 'cpu', 'cpu']],
    ['cuda:1, cuda:0', [], ['cuda:1', 'cuda:0']],
    ['cuda:0,cpu', [], ['cuda:0', 'cpu']],
    ['cuda:1:1', [instance('1:0'), instance('1:1')], ['cuda:1:1']],
  ];
  for (const [spec, gpus, expected] of cases) {
    t.strictSame(
      parseDevices(spec, gpus, withProvider).map(({ name }) => name),
      expected,
      spec,
    );
  }
  t.equal(parseDevices('auto', two, () => false)[0]!.name, 'cpu', "without onnxruntime's CUDA provider");
  const other = (spec: string, fault?: string) => parseDevices(spec, [], withProvider, () => fault);
  t.match(other('cpu, webgpu,dml'), [
    { name: 'cpu' },
    { name: 'webgpu', provider: 'webgpu', gpu: undefined, visible: undefined },
    { name: 'dml', provider: 'dml' },
  ]);
  t.throws(() => other('coreml', 'onnxruntime has no coreml here'), {
    message: 'DEVICES names coreml; onnxruntime has no coreml here.',
  });
  for (const spec of ['gpu', 'webgpu:0', 'webgpu*2', 'cpu*0', 'cuda', 'cuda:x', 'cuda:0:', 'cpu,', '']) {
    t.throws(
      () => parseDevices(spec),
      /it must be auto or a list of cpu, cpu\*N, cuda:N, cuda:N:M, webgpu, coreml and dml/,
      spec,
    );
  }
  t.throws(() => parseDevices('cuda:0:2', [instance('0:0')]), {
    message: 'DEVICES names cuda:0:2; the driver tells of no such instance of a split GPU.',
  });
});

t.test('a worker sees its GPU by its index, and an instance of a split one by its UUID', async (t) => {
  const gpus = [whole('0'), instance('1:0'), instance('1:1')];
  const cases: [spec: string, visible: string, gpu: string, hardware: string][] = [
    ['cuda:0', '0', '0', 'NVIDIA-H100-80GB'],
    ['cuda:1:1', 'MIG-1:1', '1:1', 'NVIDIA-H100-80GB-MIG-1g.10gb'],
    ['cuda:1', 'MIG-1:0', '1:0', 'NVIDIA-H100-80GB-MIG-1g.10gb'],
    ['cuda:7', '7', '7', 'gpu-7'],
  ];
  for (const [spec, visible, gpu, hardware] of cases) t.match(parseDevices(spec, gpus)[0], { visible, gpu, hardware });
  t.equal(parseDevices('cpu', gpus)[0]!.visible, undefined);
});

t.test('the cores are shared out among the workers on the CPU', async (t) => {
  const one = threadsPerWorker(undefined, parseDevices('cpu'));
  t.ok(one >= 1);
  t.equal(threadsPerWorker(undefined, parseDevices('cpu*2')), Math.max(1, Math.floor(one / 2)));
  t.equal(threadsPerWorker(5, parseDevices('cpu*2')), 5);
});

t.test('WORKER_MODULE is a file that is there, as a path or an address', async (t) => {
  const address = new URL('../stand-in/device.js', import.meta.url).href;
  t.equal(deviceModule('test/stand-in/device.js?costs={}'), `${address}?costs={}`);
  t.equal(deviceModule(`${address}?costs=%7B%7D`), `${address}?costs=%7B%7D`);
  t.equal(deviceModule(undefined), undefined);
  for (const setting of ['test/stand-in/nowhere.js', 'http://127.0.0.1/device.js', 'data:text/javascript,0'])
    t.throws(() => deviceModule(setting), {
      message: `WORKER_MODULE is "${setting}"; it must be a file that is there.`,
    });
});
