// onnxruntime's CUDA provider: a library of its own beside onnxruntime's, and a separate download.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const path = join(
  dirname(require.resolve('onnxruntime-node/package.json')),
  'bin/napi-v6',
  process.platform,
  process.arch,
  'libonnxruntime_providers_cuda.so',
);

export const hasCudaProvider = (): boolean => existsSync(path);

/** Why the loader does not take it, in the loader's words: onnxruntime keeps them to itself. The first library that is missing is named. */
export function loaderSays(library = path): string {
  try {
    (require('koffi') as typeof import('koffi').default).load(library);
    return 'it loads';
  } catch (error) {
    return (error as Error).message.replace(/^Failed to load shared library: /, '');
  }
}
