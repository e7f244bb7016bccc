// The one table of problems: their stable codes, statuses, titles and meanings.

export const problemCodes = {
  invalid_request: [
    400,
    'Invalid request',
    'a malformed body, a wrong type, a value out of range, a field that is unknown or repeated',
  ],
  unauthorized: [401, 'Unauthorized', 'the key is missing or wrong'],
  not_found: [404, 'Not found', 'there is no such route'],
  model_not_found: [404, 'Model not found', 'there is no such model'],
  not_acceptable: [406, 'Not acceptable', 'nothing that Accept names can be answered'],
  upload_too_large: [413, 'Upload too large', 'more bytes than are accepted'],
  unsupported_media_type: [415, 'Unsupported media type', 'the body has a Content-Type that the route does not take'],
  unsupported_picture: [415, 'Unsupported picture', 'the bytes are not a picture of a format that can be read'],
  undecodable_picture: [422, 'Undecodable picture', 'the picture is damaged or cut off'],
  picture_too_large: [422, 'Picture too large', 'the picture has more pixels than are accepted'],
  size_not_supported: [422, 'Size not supported', 'the model cannot make this width or height'],
  model_not_runnable: [422, 'Model not runnable', 'the model is there, and cannot run here'],
  too_large_for_device: [422, 'Too large for the device', 'the request needs more memory than the device has'],
  unsupported_combination: [422, 'Unsupported combination', 'values that are allowed each, and not together'],
  overloaded: [429, 'Overloaded', 'the queue or the room for uploads is full'],
  deadline_unattainable: [429, 'Deadline unattainable', 'the picture is not likely to be ready in time'],
  rate_limited: [429, 'Rate limited', 'this key has sent too many requests'],
  internal: [500, 'Internal error', 'a fault of the server; its log has the request id'],
  request_kills_worker: [500, 'Request kills worker', 'the worker ended at this request more than once'],
  draining: [503, 'Draining', 'the server shuts down'],
  not_ready: [503, 'Not ready', 'models are being loaded, or no worker is up'],
  worker_lost: [503, 'Worker lost', 'the worker that ran the request ended'],
  deadline_exceeded: [504, 'Deadline exceeded', 'the picture was not ready in time'],
} as const satisfies Record<string, readonly [status: number, title: string, meaning: string]>;

export type ProblemCode = keyof typeof problemCodes;
