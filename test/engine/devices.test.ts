import t from 'tap';
import { parseDevices, threadsPerWorker } from '../../src/engine/devices.js';

t.test('DEVICES', async (t) => {
  const names = (spec: string, gpus = 0) => parseDevices(spec, () => gpus).map(({ name }) => name);
  const cases: [spec: string, gpus: number, expected: string[]][] = [
    ['auto', 0, ['cpu']],
    ['auto', 2, ['cuda:0', 'cuda:1']],
    ['cpu', 2, ['cpu']],
    ['cpu*3', 0, ['cpu', 'cpu', 'cpu']],
    ['cuda:1, cuda:0', 0, ['cuda:1', 'cuda:0']],
    ['cuda:0,cpu', 0, ['cuda:0', 'cpu']],
  ];
  for (const [spec, gpus, expected] of cases) t.strictSame(names(spec, gpus), expected, spec);
  for (const spec of ['gpu', 'cpu*0', 'cuda', 'cuda:x', 'cpu,', '']) {
    t.throws(() => parseDevices(spec), /it must be auto or a list of cpu, cpu\*N and cuda:N/, spec);
  }
});

t.test('the cores are shared out among the workers on the CPU', async (t) => {
  const one = threadsPerWorker(undefined, parseDevices('cpu'));
  t.ok(one >= 1);
  t.equal(threadsPerWorker(undefined, parseDevices('cpu*2')), Math.max(1, Math.floor(one / 2)));
  t.equal(threadsPerWorker(5, parseDevices('cpu*2')), 5);
});
