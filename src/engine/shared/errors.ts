// What the engine can refuse or fail with. HTTP turns the codes into problems; a client's mistakes never get here.

export const engineErrorCodes = [
  'overloaded',
  'deadline_unattainable',
  'too_large_for_device',
  'not_ready',
  'worker_lost',
  'request_kills_worker',
  'model_not_found',
  'model_not_runnable',
  /** Its files are being written: a new try soon makes sense. */
  'model_changing',
  'lora_not_found',
  'lora_not_runnable',
  'deadline_exceeded',
  /** The client left. */
  'cancelled',
  /** The client asked for the end, and still listens. */
  'interrupted',
  'shutting_down',
  'internal',
] as const;
export type EngineErrorCode = (typeof engineErrorCodes)[number];

export class EngineError extends Error {
  constructor(
    readonly code: EngineErrorCode,
    message: string,
    /** When a new try makes sense, in seconds. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}
