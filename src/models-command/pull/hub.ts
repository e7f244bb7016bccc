// What a hub says of a repository: its commit, its licence, its files. The hub's own library asks and reads; the requests are ours.

import { HUB_URL, listFiles, modelInfo } from '@huggingface/hub';
import { ModelsError } from '../models-error.js';
import { checkPath, type Repository } from './names.js';
import { brokenConnection, type Network, patiently, request, Stall } from './network.js';
import { refusal } from './refusals.js';

export const defaultEndpoint = HUB_URL;

export interface RemoteFile {
  readonly path: string;
  readonly bytes: number;
  /** sha256 of the file, or Git's own digest of what is small: sha1 over a head and the file. */
  readonly digest: { readonly algorithm: 'sha256' | 'git'; readonly hex: string };
}

export interface RemoteRepository extends Repository {
  /** The commit that the revision is now: everything is asked of it. */
  readonly commit: string;
  readonly license: string | undefined;
  readonly gated: boolean;
  readonly files: ReadonlyMap<string, RemoteFile>;
}

const mostFiles = 20_000;
/** Of one answer about a repository. */
const mostAnswerBytes = 64 * 2 ** 20;

/** @throws ModelsError */
export async function readRepository(network: Network, repository: Repository): Promise<RemoteRepository> {
  const { name, revision } = repository;
  const shared = { hubUrl: network.endpoint, fetch: apiFetch(network, repository) };
  const info = await understood(() => modelInfo({ ...shared, name, revision, additionalFields: ['sha', 'cardData'] }));
  const commit: unknown = info.sha;
  if (typeof commit !== 'string' || !/^[0-9a-f]{40}$/.test(commit)) {
    throw new ModelsError(`the hub does not say which commit ${revision} of ${name} is`);
  }
  const files = new Map<string, RemoteFile>();
  await understood(async () => {
    for await (const entry of listFiles({
      ...shared,
      repo: { type: 'model', name },
      revision: commit,
      recursive: true,
    })) {
      const path = checkPath(entry.path);
      if (entry.type === 'file') files.set(path, fileOf(path, entry));
      if (files.size > mostFiles) throw new ModelsError(`${name} has more than ${mostFiles} files`);
    }
  });
  return { ...repository, commit, files, license: licenseOf(info.cardData), gated: Boolean(info.gated) };
}

interface Entry {
  readonly size: number;
  readonly oid?: string;
  readonly lfs?: { readonly oid: string; readonly size: number };
}

function fileOf(path: string, { size, oid, lfs }: Entry): RemoteFile {
  const bytes = lfs?.size ?? size;
  const hex = lfs?.oid ?? oid;
  const length = lfs ? 64 : 40;
  if (
    Number.isSafeInteger(bytes) &&
    bytes >= 0 &&
    typeof hex === 'string' &&
    /^[0-9a-f]+$/.test(hex) &&
    hex.length === length
  ) {
    return { path, bytes, digest: { algorithm: lfs ? 'sha256' : 'git', hex } };
  }
  throw new ModelsError(`the hub does not say the size and digest of ${path}`);
}

/** As the model card says it: a short name, and for `other` the name that it gives. */
function licenseOf(card: unknown): string | undefined {
  const { license, license_name: name, license_link: link } = (card ?? {}) as Record<string, unknown>;
  const texts = [license === 'other' && name ? name : license, link].flatMap((each) =>
    typeof each === 'string' ? [each] : Array.isArray(each) ? [each.join(', ')] : [],
  );
  const printable = texts.map((text) => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200));
  return printable.length === 0 ? undefined : printable.join(', ');
}

/** The library's requests: with the token where it belongs, tried again, bounded, refused in sentences. */
function apiFetch(network: Network, repository: Repository): typeof fetch {
  return (input, init) =>
    patiently(network, async () => {
      const stall = new Stall(network);
      try {
        const headers = Object.fromEntries(new Headers(init?.headers));
        const answer = await request(network, String(input), headers, stall.signal);
        if (!answer.response.ok) {
          await answer.response.body?.cancel();
          throw refusal(answer, network, repository);
        }
        const body = await bounded(answer.response, stall).catch((error) => {
          throw brokenConnection(error, answer.host, network.signal);
        });
        return new Response(body, { headers: answer.response.headers });
      } finally {
        stall.end();
      }
    });
}

async function bounded(response: Response, stall: Stall): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    stall.happened();
    length += (chunk as Uint8Array).length;
    if (length > mostAnswerBytes) throw new ModelsError(`the hub's answer has more than ${mostAnswerBytes} bytes`);
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks);
}

/** What the library cannot read is the hub's fault, and told so. */
async function understood<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ModelsError) throw error;
    throw new ModelsError(`the hub's answer is not understood: ${(error as Error).message}`);
  }
}
