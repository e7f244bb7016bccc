// Requests to this server: its problems as errors, its key, its event streams.

import { askForKey, key } from './key.js';

/**
 * @typedef {{ pointer: string, detail: string }} FieldError
 * @typedef {{ detail: string, code: string, errors?: FieldError[] }} Problem a problem document, as far as it is read
 */

/** What the server refuses, or fails at, in its own sentence. */
export class Refusal extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail);
    this.code = problem.code;
    this.errors = problem.errors ?? [];
  }
}

/**
 * Relative to the page, which may lie behind a path prefix.
 * @param {string} path
 */
export const address = (path) => new URL(path, document.baseURI).href;

/**
 * Asks for a key where the server wants one, and sends the request again.
 * @param {string} path
 * @param {{ body?: FormData | object | undefined, accept?: string, signal?: AbortSignal | undefined }} [options] a body that is no form is sent as JSON
 * @returns {Promise<Response>}
 * @throws {Refusal}
 */
export async function call(path, { body, accept = 'application/json', signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = { accept };
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (body && !(body instanceof FormData)) headers['content-type'] = 'application/json';
  const payload =
    body && !(body instanceof FormData) ? JSON.stringify(body) : /** @type {FormData | undefined} */ (body);
  const sent = { method: body ? 'POST' : 'GET', headers, body: payload ?? null, signal: signal ?? null };
  const response = await fetch(address(path), sent).catch((error) => {
    if (signal?.aborted) throw error;
    throw new Refusal({ code: 'unreachable', detail: 'The server cannot be reached. Is it still running?' });
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => undefined);
  if (response.status === 401 && (await askForKey(key() !== ''))) return call(path, { body, accept, signal });
  throw new Refusal(problem ?? { code: 'unknown', detail: `The server answered ${response.status}.` });
}

/**
 * Server-sent events as they come.
 * @param {Response} response
 * @returns {AsyncGenerator<{ event: string, data: any }>}
 */
export async function* events(response) {
  const reader = /** @type {ReadableStream<BufferSource>} */ (response.body)
    .pipeThrough(new TextDecoderStream())
    .getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (event && data) yield { event, data: JSON.parse(data) };
    }
  }
}
