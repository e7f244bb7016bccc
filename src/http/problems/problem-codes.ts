// The one table of problems: their stable codes, statuses, titles and meanings, what a refusal is counted under, and OpenAI's word.

interface ProblemKind {
  readonly status: number;
  readonly title: string;
  readonly meaning: string;
  /** The reason of `img2img_rejected_requests_total`; null for what is a failure, or no request for pictures. */
  readonly rejectedAs: string | null;
  /** Where OpenAI has a code of its own for it. */
  readonly openAi?: string;
}

export const problemCodes = {
  invalid_request: {
    status: 400,
    title: 'Invalid request',
    meaning: 'a malformed body, a wrong type, a value out of range, a field that is unknown or repeated',
    rejectedAs: 'invalid',
  },
  unauthorized: {
    status: 401,
    title: 'Unauthorized',
    meaning: 'the key is missing or wrong',
    rejectedAs: 'unauthorized',
    openAi: 'invalid_api_key',
  },
  not_found: { status: 404, title: 'Not found', meaning: 'there is no such route', rejectedAs: null },
  model_not_found: { status: 404, title: 'Model not found', meaning: 'there is no such model', rejectedAs: null },
  lora_not_found: { status: 404, title: 'LoRA not found', meaning: 'there is no such LoRA', rejectedAs: null },
  method_not_allowed: {
    status: 405,
    title: 'Method not allowed',
    meaning: 'the path is there, and does not take this method; `Allow` says which it takes',
    rejectedAs: null,
  },
  not_acceptable: {
    status: 406,
    title: 'Not acceptable',
    meaning: 'nothing that Accept names can be answered',
    rejectedAs: null,
  },
  upload_too_large: {
    status: 413,
    title: 'Upload too large',
    meaning: 'more bytes than are accepted',
    rejectedAs: 'too_large',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported media type',
    meaning: 'the body has a Content-Type that the route does not take',
    rejectedAs: 'invalid',
  },
  unsupported_picture: {
    status: 415,
    title: 'Unsupported picture',
    meaning: 'the bytes are not a picture of a format that can be read',
    rejectedAs: 'invalid',
  },
  undecodable_picture: {
    status: 422,
    title: 'Undecodable picture',
    meaning: 'the picture is damaged or cut off',
    rejectedAs: 'invalid',
  },
  picture_too_large: {
    status: 422,
    title: 'Picture too large',
    meaning: 'the picture has more pixels than are accepted',
    rejectedAs: 'too_large',
  },
  size_not_supported: {
    status: 422,
    title: 'Size not supported',
    meaning: 'the model cannot make this width or height',
    rejectedAs: 'invalid',
  },
  model_not_runnable: {
    status: 422,
    title: 'Model not runnable',
    meaning: 'the model is there, and cannot run here',
    rejectedAs: null,
  },
  lora_not_runnable: {
    status: 422,
    title: 'LoRA not runnable',
    meaning: 'the LoRA is there, and cannot be used with this model',
    rejectedAs: null,
  },
  content_blocked: {
    status: 422,
    title: 'Content blocked',
    meaning:
      'the safety checker flagged what was made, and this server keeps such pictures back (`SAFETY_CHECKER=block`)',
    rejectedAs: null,
    openAi: 'moderation_blocked',
  },
  too_large_for_device: {
    status: 422,
    title: 'Too large for the device',
    meaning: 'the request needs more memory than the device has',
    rejectedAs: 'memory',
  },
  unsupported_combination: {
    status: 422,
    title: 'Unsupported combination',
    meaning: 'values that are allowed each, and not together',
    rejectedAs: null,
  },
  overloaded: {
    status: 429,
    title: 'Overloaded',
    meaning: 'the queue or the room for uploads is full',
    rejectedAs: 'queue_full',
  },
  deadline_unattainable: {
    status: 429,
    title: 'Deadline unattainable',
    meaning: 'the picture is not likely to be ready in time',
    rejectedAs: 'deadline',
  },
  rate_limited: {
    status: 429,
    title: 'Rate limited',
    meaning: 'this key, or this address where keys are off, has sent too many requests',
    rejectedAs: 'rate_limited',
    openAi: 'rate_limit_exceeded',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    meaning: 'a fault of the server; its log has the request id',
    rejectedAs: null,
  },
  request_kills_worker: {
    status: 500,
    title: 'Request kills worker',
    meaning: 'the worker ended at this request more than once',
    rejectedAs: null,
  },
  draining: { status: 503, title: 'Draining', meaning: 'the server shuts down', rejectedAs: 'draining' },
  not_ready: {
    status: 503,
    title: 'Not ready',
    meaning: 'models are being loaded, or no worker is up',
    rejectedAs: 'not_ready',
  },
  model_changing: {
    status: 503,
    title: 'Model changing',
    meaning: "the model's files are being written; it is read again when they stand still",
    rejectedAs: null,
  },
  worker_lost: {
    status: 503,
    title: 'Worker lost',
    meaning: 'the worker that ran the request ended, or the process that was to decode its picture',
    rejectedAs: null,
  },
  deadline_exceeded: {
    status: 504,
    title: 'Deadline exceeded',
    meaning: 'the picture was not ready in time',
    rejectedAs: null,
  },
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof problemCodes;

/** A code's entry, with what only some entries have. */
export const problemKind = (code: ProblemCode): ProblemKind => problemCodes[code];
