// What is asked of a Kubernetes API server here, and no more.

import type { ClientRequest, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

// biome-ignore lint/suspicious/noExplicitAny: an object of the API has the shape that its reader looks for
export type Resource = any;

export interface Access {
  readonly url: string;
  readonly token: string;
  /** PEM of the authority that has signed the server's certificate. */
  readonly ca: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Where a kind lives: `apps/v1/deployments`; the core's without a group, `v1/pods`. */
export function pathOf(resource: string, namespace?: string, name?: string): string {
  const parts = resource.split('/');
  const root = parts.length === 3 ? `/apis/${parts[0]}/${parts[1]}` : `/api/${parts[0]}`;
  return [root, namespace && `namespaces/${namespace}`, parts.at(-1), name].filter((part) => part).join('/');
}

/** How the kinds of the manifests are called in addresses. */
const plurals: Readonly<Record<string, string>> = {
  NetworkPolicy: 'networkpolicies',
  ClientTrafficPolicy: 'clienttrafficpolicies',
  BackendTrafficPolicy: 'backendtrafficpolicies',
};
const clusterWide = new Set(['Namespace', 'Node', 'CustomResourceDefinition', 'APIService']);

export class Api {
  constructor(readonly access: Access) {}

  /** @throws ApiError when the answer is none of success */
  async ask(method: string, path: string, body?: unknown, type = 'application/json'): Promise<Resource> {
    const answer = await this.open(method, path, body, type).response;
    let text = '';
    for await (const chunk of answer.setEncoding('utf8')) text += chunk;
    const said = text.startsWith('{') ? JSON.parse(text) : text;
    if (answer.statusCode! >= 300)
      throw new ApiError(answer.statusCode!, said.message ?? `${answer.statusCode}: ${text}`);
    return said;
  }

  get(path: string): Promise<Resource> {
    return this.ask('GET', path);
  }

  merge(path: string, body: unknown): Promise<Resource> {
    return this.ask('PATCH', path, body, 'application/merge-patch+json');
  }

  /** By the address of its kind. */
  pathTo({ apiVersion, kind, metadata }: Resource): string {
    const plural = plurals[kind] ?? `${kind.toLowerCase()}s`;
    return pathOf(`${apiVersion}/${plural}`, clusterWide.has(kind) ? undefined : metadata.namespace, metadata.name);
  }

  /** Server-side apply, as `kubectl apply --server-side --validate=strict`: an unknown or doubled field is an error. */
  apply(manifest: Resource, dryRun = false): Promise<Resource> {
    const query = `fieldManager=img2img-test&force=true&fieldValidation=Strict${dryRun ? '&dryRun=All' : ''}`;
    return this.ask('PATCH', `${this.pathTo(manifest)}?${query}`, manifest, 'application/apply-patch+yaml');
  }

  /**
   * All objects at a path, now and whenever one changes, until `stop` is called. An answer that ends is asked for again.
   * @param changed gets every object that is there, and each change; `gone` when it was deleted. Throwing ends the process.
   */
  watch(path: string, changed: (object: Resource, gone: boolean) => void): { stop(): void } {
    let stopped = false;
    let going: ClientRequest | undefined;
    const known = new Map<string, Resource>();
    const tell = (object: Resource, gone: boolean) => {
      if (gone) known.delete(object.metadata.uid);
      else known.set(object.metadata.uid, object);
      changed(object, gone);
    };
    const follow = async () => {
      const list = await this.get(path);
      const there = new Set(list.items.map(({ metadata }: Resource) => metadata.uid));
      for (const [uid, object] of known) if (!there.has(uid)) tell(object, true);
      for (const object of list.items) tell(object, false);
      const query = `${path.includes('?') ? '&' : '?'}watch=true&resourceVersion=${list.metadata.resourceVersion}`;
      const { request, response } = this.open('GET', path + query);
      going = request;
      for await (const line of createInterface({ input: await response })) {
        if (stopped) return;
        const { type, object } = JSON.parse(line);
        if (type === 'ERROR') return;
        if (type !== 'BOOKMARK') tell(object, type === 'DELETED');
      }
    };
    (async () => {
      while (!stopped) {
        await follow().catch((error) => {
          if (!(error instanceof ApiError) && error.code === undefined) throw error;
        });
        if (!stopped) await sleep(200);
      }
    })();
    return {
      stop() {
        stopped = true;
        going?.destroy();
      },
    };
  }

  private open(method: string, path: string, body?: unknown, type?: string) {
    const { url, token, ca } = this.access;
    const headers = {
      authorization: `Bearer ${token}`,
      accept: 'application/json',
      ...(body !== undefined && { 'content-type': type }),
    };
    const sent = request(url + path, { method, ca, headers });
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve);
      sent.once('error', reject);
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    return { request: sent, response };
  }
}
