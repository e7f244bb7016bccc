// Why a worker ended. `protocol`: it was ended, because it said what no worker says.

export const exitReasons = ['exit', 'signal', 'oom', 'hang', 'execution_provider', 'protocol'] as const;
export type ExitReason = (typeof exitReasons)[number];

export interface ExitCause {
  readonly reason: ExitReason;
  /** For the log: the signal, the exit code, or the last words. */
  readonly detail: string;
}

/** A GPU that answers nothing any more in this process: only a new one gets it back. The texts are those of WebGPU, Direct3D and CUDA. */
export function isDeviceLost(error: unknown): boolean {
  return /device (?:is |was )?lost|device\] is lost|DEVICE_LOST|DEVICE_REMOVED|illegal memory access|unspecified launch failure/i.test(
    String(error),
  );
}

/** What a failed model run says of its cause. The texts are onnxruntime's and CUDA's. */
export function isOutOfMemory(error: unknown): boolean {
  return /out of memory|bad_alloc|failed to allocate|allocation failed|CUBLAS_STATUS_ALLOC_FAILED/i.test(String(error));
}
