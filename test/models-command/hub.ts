// A hub for tests: the routes that the hub's library and the downloads ask, files behind a redirect to a second host, and faults.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

export interface Asked {
  readonly host: 'hub' | 'files';
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** What is wrong with a hub; each gets the request and says whether it answered. */
export type Fault = (request: IncomingMessage, response: ServerResponse, body: Buffer) => boolean;

export interface Hub {
  readonly url: string;
  readonly asked: Asked[];
  /** Path -> bytes. */
  readonly files: Map<string, Buffer>;
  /** What the hub says of the repository beside its files. */
  readonly info: Record<string, unknown>;
  /** Changes what is listed. */
  listed: (entries: Entry[]) => unknown;
  /** Instead of the hub's own answer, or of the second host's. */
  onHub: Fault;
  onFiles: Fault;
  /** 40 digits; another one stands for a new commit. */
  commit: string;
}

export interface Entry {
  type: string;
  path: string;
  size: number;
  oid: string;
  lfs?: { oid: string; size: number; pointerSize: number };
}

export const repository = 'some-org/a.model_1';

/** As Git and its LFS have them: text in Git, weights in LFS. */
export function entryOf(path: string, body: Buffer): Entry {
  const oid = createHash('sha1').update(`blob ${body.length}\0`).update(body).digest('hex');
  if (!/\.(safetensors|onnx|onnx_data|bin|ckpt)$/.test(path)) return { type: 'file', path, size: body.length, oid };
  const sha256 = createHash('sha256').update(body).digest('hex');
  return { type: 'file', path, size: body.length, oid, lfs: { oid: sha256, size: body.length, pointerSize: 130 } };
}

export async function startHub(t: Test, files: Readonly<Record<string, string | Buffer>>): Promise<Hub> {
  const hub: Hub = {
    url: '',
    asked: [],
    files: new Map(Object.entries(files).map(([path, body]) => [path, Buffer.from(body)])),
    info: { gated: false, private: false, cardData: { license: 'creativeml-openrail-m' } },
    listed: (entries) => entries,
    onHub: () => false,
    onFiles: () => false,
    commit: 'c0ffee'.padEnd(40, '0'),
  };
  const second = await listen(t, (request, response) => {
    const body = note('files', request);
    if (!hub.onFiles(request, response, body)) sendFile(request, response, body);
  });
  const first = await listen(t, (request, response) => {
    const body = note('hub', request);
    if (hub.onHub(request, response, body)) return;
    const { pathname } = new URL(request.url!, 'http://hub');
    const json = (value: unknown) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (pathname.startsWith(`/api/models/${repository}/revision/`)) {
      json({ _id: '1', id: repository, lastModified: '2025-01-01T00:00:00Z', sha: hub.commit, ...hub.info });
    } else if (pathname === `/api/models/${repository}/tree/${hub.commit}`) {
      json(hub.listed([...hub.files].map(([path, bytes]) => entryOf(path, bytes))));
    } else if (hub.files.has(fileOf(request))) {
      response
        .writeHead(302, { location: `${second}/${repository}/resolve/x/${fileOf(request)}?signature=secret` })
        .end();
    } else {
      refuse(response, 404, pathname.includes('/resolve/') ? 'EntryNotFound' : 'RepoNotFound');
    }
  });

  function note(host: Asked['host'], request: IncomingMessage): Buffer {
    const { method, url, headers } = request;
    hub.asked.push({ host, method: method!, path: url!, range: headers.range, authorization: headers.authorization });
    return hub.files.get(fileOf(request)) ?? Buffer.alloc(0);
  }
  return Object.assign(hub, { url: first });
}

const fileOf = ({ url }: IncomingMessage) =>
  decodeURIComponent(new URL(url!, 'http://hub').pathname.replace(/^.*\/resolve\/[^/]+\//, ''));

export const refuse = (response: ServerResponse, status: number, code?: string, headers = {}): boolean => {
  response.writeHead(status, { ...(code && { 'x-error-code': code }), ...headers }).end(`status ${status}`);
  return true;
};

/**
 * With its range, if one was asked for.
 * @param until where it breaks off
 * @param arrived whether what was sent has arrived: what a connection still holds is lost when it breaks
 */
export function sendFile(
  { headers }: Pick<IncomingMessage, 'headers'>,
  response: ServerResponse,
  body: Buffer,
  until?: number,
  arrived = () => true,
): void {
  const start = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
  const range = start > 0 && { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` };
  response.writeHead(start > 0 ? 206 : 200, { 'content-length': body.length - start, etag: '"an-etag"', ...range });
  if (until === undefined) response.end(body.subarray(start));
  else response.write(body.subarray(start, until), () => breakOff(response, arrived));
}

function breakOff(response: ServerResponse, arrived: () => boolean): void {
  if (response.closed) return;
  if (arrived()) response.destroy();
  else setTimeout(breakOff, 2, response, arrived);
}

async function listen(t: Test, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server: Server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
