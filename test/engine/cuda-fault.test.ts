// What onnxruntime says of CUDA, with the sentence that helps. The messages are those of onnxruntime 1.30.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { loaderSays } from '../../src/engine/shared/gpu/cuda-provider.js';
import { type CudaFacts, cudaFault, explained } from '../../src/engine/worker/cuda-fault.js';
import { ModelFolderError } from '../../src/pipeline/folder/model-folder-error.js';
import { missing } from '../programs.js';

const unloaded =
  'unet/model.onnx does not load: OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library';
const failure = (words: string) =>
  `unet/model.onnx does not load: /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void> onnxruntime::CudaCall(ERRTYPE) [with ERRTYPE = cudaError; bool THRW = true] CUDA failure ${words} ; GPU=-1 ; hostname=vm ; file=/onnxruntime_src/cuda_execution_provider.cc ; line=352 ; expr=cudaSetDevice(info_.device_id); \n\n`;
const insufficient = failure('35: CUDA driver version is insufficient for CUDA runtime version');
const noDevice = failure('100: no CUDA-capable device is detected');
const cannotOpen = (library: string) => `${library}: cannot open shared object file: No such file or directory`;
const old = [{ gpu: '0', driver: '550.163.01' }];

t.test('what keeps CUDA from running is told in a sentence', async (t) => {
  const cases: [string, string, Partial<CudaFacts>, RegExp | undefined][] = [
    [
      'no driver: its library is missing',
      unloaded,
      { loader: () => cannotOpen('libcuda.so.1') },
      /^onnxruntime's CUDA provider does not load: libcuda\.so\.1: cannot open .* directory; there is no NVIDIA driver here: install 580 or newer/,
    ],
    [
      'no driver behind its library',
      insufficient,
      {},
      /^CUDA failure 35: CUDA driver .* runtime version; there is no NVIDIA driver here/,
    ],
    [
      'a driver too old',
      insufficient,
      { gpus: old },
      /^CUDA failure 35: CUDA driver .*; the NVIDIA driver 550\.163\.01 is too old: CUDA 13 wants 580 or newer$/,
    ],
    ['a driver too old, without a GPU', insufficient, { gpus: [] }, /; the NVIDIA driver is too old/],
    [
      'no device at all',
      noDevice,
      { gpus: [] },
      /^CUDA failure 100: no CUDA-capable device is detected; the NVIDIA driver has no GPU 1 for this process, and tells of these: none\./,
    ],
    [
      'another device',
      failure('101: invalid device ordinal'),
      { gpus: old },
      /no GPU 1 for this process, and tells of these: 0\./,
    ],
    [
      'a library missing',
      unloaded,
      { loader: () => cannotOpen('libcublasLt.so.13') },
      /does not load: libcublasLt\.so\.13: cannot .*; libcublasLt\.so\.13 of CUDA 13 is missing: use the image cuda/,
    ],
    [
      'another library',
      unloaded,
      { loader: () => 'undefined symbol: cuTensorMapEncodeTiled' },
      /others than those of CUDA 13/,
    ],
    ['no provider', unloaded, { hasProvider: false }, /provider is not installed; use the image cuda, or DEVICES=cpu$/],
    ['another CUDA fault', failure('700: an illegal memory access was encountered'), {}, undefined],
    ["a model's own fault", 'unet/model.onnx does not load: Protobuf parsing failed.', {}, undefined],
  ];
  for (const [name, message, facts, told] of cases) {
    const said = cudaFault(message, {
      gpu: '1',
      hasProvider: true,
      loader: () => 'it loads',
      gpus: undefined,
      ...facts,
    });
    if (told) t.match(said, told, name);
    else t.equal(said, undefined, name);
  }
});

t.test('faults of the CPU, and of folders, stay what they are', async (t) => {
  const onCpu = new ModelFolderError(unloaded);
  t.equal(await explained(onCpu, { provider: 'cpu' }), onCpu);
  const folder = new ModelFolderError('there is no unet');
  t.equal(await explained(folder, { provider: 'cuda', gpu: '0' }), folder);
  const other = new TypeError('a bug');
  t.equal(await explained(other, { provider: 'cuda', gpu: '0' }), other);
});

t.test("the loader's words name the library that is missing", { skip: missing('gcc') }, async (t) => {
  const folder = t.testdir({
    'needed.c': 'int needed(void) { return 1; }',
    'wants.c': 'int needed(void); int wants(void) { return needed(); }',
  });
  const gcc = (...options: string[]) => execFileSync('gcc', ['-shared', '-fPIC', ...options], { cwd: folder });
  gcc('-o', 'libneeded.so', 'needed.c');
  gcc('-o', 'libwants.so', 'wants.c', '-L.', '-lneeded');
  t.match(loaderSays(join(folder, 'libwants.so')), /^libneeded\.so: cannot open shared object file/);
  t.equal(loaderSays(join(folder, 'libneeded.so')), 'it loads');
});
