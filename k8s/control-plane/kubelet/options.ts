// What a kubelet works with: an API server, and images as processes.

import type { Api } from '../api.js';
import type { Processes } from '../processes.js';

export interface Image {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** What this machine lacks and the process gets instead, over everything: a device, an address. */
  instead(address: string): Readonly<Record<string, string>>;
}

export interface KubeletOptions {
  readonly api: Api;
  readonly processes: Processes;
  /** The first three numbers of the pods' addresses, as `10.244.0`. */
  readonly network: string;
  /** What an image holds; undefined: it cannot be pulled. */
  image(name: string): Image | undefined;
}
