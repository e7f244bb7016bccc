// Addresses of pods, on the loopback device: EndpointSlices refuse those of loopback itself. Needs root.

import { execFileSync, spawnSync } from 'node:child_process';

export class Addresses {
  private readonly taken = new Set<string>();
  private last = 0;

  /** @param network the first three numbers */
  constructor(private readonly network: string) {
    this.close(); // of a run that was killed
    process.once('exit', () => this.close());
  }

  take(): string {
    if (this.taken.size === 254) throw new Error('There are no addresses left.');
    do this.last = (this.last % 254) + 1;
    while (this.taken.has(`${this.network}.${this.last}`));
    const address = `${this.network}.${this.last}`;
    execFileSync('ip', ['address', 'add', `${address}/32`, 'dev', 'lo'], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.taken.add(address);
    return address;
  }

  release(address: string): void {
    spawnSync('ip', ['address', 'delete', `${address}/32`, 'dev', 'lo']);
    this.taken.delete(address);
  }

  /** Removes all of the network. */
  close(): void {
    const { stdout } = spawnSync('ip', ['-json', 'address', 'show', 'dev', 'lo'], { encoding: 'utf8' });
    for (const { local } of JSON.parse(stdout)[0].addr_info)
      if (local.startsWith(`${this.network}.`)) this.release(local);
  }
}
