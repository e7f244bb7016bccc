// Sends requests that a broken or hostile client might, and says what came back. For a test, and for npm run soak:fuzz.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import sharp from 'sharp';
import { documentPath } from '../../openapi/document.js';
import { problemCodes } from '../../src/http/problems/problem-codes.js';
import { type Document, type FuzzRequest, requests } from './requests.js';

const patienceMs = 120_000;

async function pictures(): Promise<Buffer[]> {
  const base = sharp({ create: { width: 80, height: 60, channels: 4, background: '#3366cc80' } });
  const png = await base.clone().png().toBuffer();
  return [
    png,
    await base.clone().jpeg().toBuffer(),
    await base.clone().webp().toBuffer(),
    await base.clone().gif().toBuffer(),
    await base.clone().resize(1, 1).png().toBuffer(),
    await base.clone().resize(600, 2, { fit: 'fill' }).png().toBuffer(),
    png.subarray(0, png.length - 20),
    Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'),
    Buffer.from('%PDF-1.4'),
    Buffer.from('GIF89a'),
    Buffer.alloc(0),
    Buffer.alloc(3000, 0xff),
  ];
}

/**
 * @param url of a server with default limits
 * @returns how many answers had which status; "left" where the client left
 * @throws Error for the first request, made as small as it goes, whose answer is not as documented
 */
export async function fuzz(url: string, count: number, seed: number): Promise<Map<string, number>> {
  const document: Document = JSON.parse(readFileSync(documentPath, 'utf8'));
  // Long work is not what is tested; it comes to nothing but waiting.
  const costly = { steps: 3, n: 2, batch_size: 2, n_iter: 1, width: 128, height: 128 };
  const statuses = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(requests(document, await pictures(), costly), async (request) => {
      const status = await send(url, document, request);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }),
    { numRuns: count, seed, endOnFailure: count > 5000 },
  );
  return statuses;
}

async function send(url: string, document: Document, request: FuzzRequest): Promise<string> {
  const { method, path, headers, body, leavesAfterMs } = request;
  const leaves = leavesAfterMs === undefined ? [] : [AbortSignal.timeout(leavesAfterMs)];
  const patience = AbortSignal.timeout(patienceMs);
  try {
    const response = await fetch(url + request.url, {
      method,
      headers,
      ...(body && method !== 'GET' && { body: new Uint8Array(body) }),
      signal: AbortSignal.any([patience, ...leaves]),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    check(document, request, response, bytes);
    return String(response.status);
  } catch (error) {
    if (patience.aborted) throw new Error(`${method} ${path} did not answer within ${patienceMs} ms`);
    if (leaves.some(({ aborted }) => aborted)) return 'left';
    throw error;
  }
}

/** Every answer has a status that the document names for its operation, and an error a code that stands at that status. */
function check(document: Document, { method, path, url }: FuzzRequest, response: Response, bytes: Buffer): void {
  const { status, headers } = response;
  const said = () => `${method} ${url}: ${status} ${bytes.toString('utf8', 0, 400)}`;
  if (status === 500) throw new Error(`an internal error: ${said()}`);
  const documented = document.paths[path]![method.toLowerCase()]!.responses[status];
  // What a path's value makes of the path is another route, or none.
  const isElsewhere =
    status === 404 || (status === 400 && path.includes('{')) || (status === 200 && path.includes('{'));
  if (!documented && !isElsewhere) throw new Error(`a status that is not documented: ${said()}`);
  if (!headers.get('x-request-id') && !isElsewhere) throw new Error(`no request id: ${said()}`);
  if (status < 400) return;
  const answer = JSON.parse(bytes.toString('utf8'));
  const code = answer.code ?? answer.error?.code ?? answer.error;
  const words: Record<string, string> = { invalid_api_key: 'unauthorized', rate_limit_exceeded: 'rate_limited' };
  const expected = problemCodes[(words[code] ?? code) as keyof typeof problemCodes]?.status;
  if (expected !== status) throw new Error(`a code that is not at this status: ${said()}`);
}
