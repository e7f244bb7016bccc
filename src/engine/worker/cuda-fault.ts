// Why CUDA does not run, for whoever runs the service: what onnxruntime's provider says of it has no remedy.

import type { Provider } from '../../model-facts.js';
import { ModelFolderError } from '../../pipeline/folder/model-folder-error.js';
import { hasCudaProvider, loaderSays } from '../shared/gpu/cuda-provider.js';
import type { GpuReading } from '../shared/gpu/gpu-reading.js';
import { openGpuSource } from '../shared/gpu/gpu-source.js';

/** What CUDA 13 asks for. Source: CUDA Toolkit release notes, minor version compatibility. */
const oldestDriver = 580;

const noDriver = `there is no NVIDIA driver here: install ${oldestDriver} or newer; into a container NVIDIA's toolkit brings the machine's (docker run --gpus all)`;

/** What was found out beside the message. */
export interface CudaFacts {
  /** The worker's, as GpuReading names it. */
  readonly gpu: string;
  readonly hasProvider: boolean;
  /** Why the provider's library does not load. */
  loader(): string;
  /** What the driver tells of; undefined where no driver answers. */
  readonly gpus: readonly Pick<GpuReading, 'gpu' | 'driver'>[] | undefined;
}

/**
 * @param message of onnxruntime, when a session on CUDA was to be made
 * @returns CUDA's own words and a sentence without its end, after a semicolon; undefined where the message is of something else
 */
export function cudaFault(message: string, { gpu, hasProvider, loader, gpus }: CudaFacts): string | undefined {
  if (/Failed to load shared library/.test(message)) {
    if (!hasProvider) return "onnxruntime's CUDA provider is not installed; use the image cuda, or DEVICES=cpu";
    const said = loader();
    const library = /^(\S+?): cannot open shared object file/.exec(said)?.[1];
    const quote = `onnxruntime's CUDA provider does not load: ${said}`;
    if (library?.startsWith('libcuda.so')) return `${quote}; ${noDriver}`;
    const which = library ? `${library} of CUDA 13 is missing` : 'its libraries are others than those of CUDA 13';
    return `${quote}; ${which}: use the image cuda, or put NVIDIA's where the loader finds them`;
  }
  const [quote, code] = /CUDA failure (\d+): [^;]*[^;\s]/.exec(message) ?? [];
  if (code === '35') {
    if (gpus === undefined) return `${quote}; ${noDriver}`;
    const driver = ['the NVIDIA driver', gpus[0]?.driver].filter((word) => word).join(' ');
    return `${quote}; ${driver} is too old: CUDA 13 wants ${oldestDriver} or newer`;
  }
  if (code === '100' || code === '101') {
    const others = gpus?.map((one) => one.gpu).join(', ') || 'none';
    return `${quote}; the NVIDIA driver has no GPU ${gpu} for this process, and tells of these: ${others}. See that DEVICES names one that is there, and that the container is given it`;
  }
  return undefined;
}

/** A model's error with that, where it is one of CUDA's. */
export async function explained(
  error: unknown,
  { provider, gpu }: { readonly provider: Provider; readonly gpu?: string | undefined },
): Promise<unknown> {
  if (provider !== 'cuda' || gpu === undefined || !(error instanceof ModelFolderError)) return error;
  const source = await openGpuSource();
  const gpus = await source?.read().catch(() => []);
  await source?.close();
  const fault = cudaFault(error.message, { gpu, hasProvider: hasCudaProvider(), loader: loaderSays, gpus });
  return fault === undefined ? error : new ModelFolderError(fault);
}
