// The service as a process of its own, asked over HTTP as anybody would.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Picture, read } from '../test/picture-statistics.js';

export type Fields = Readonly<Record<string, string | number>>;

export interface Service {
  /** The picture that POST /img2img answers; an empty prompt is the same as none. */
  repaint(starter: Buffer, fields: Fields): Promise<Picture>;
  stop(): void;
}

export async function startService(): Promise<Service> {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', `${root}src/main.ts`], {
    cwd: root,
    env: { ...process.env, PORT: '0', DEVICES: 'cpu', LOG_FORMAT: 'json', REQUEST_TIMEOUT_MS: '300000' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the service ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { msg, address } = JSON.parse(line);
      if (msg === 'ready') resolve(address);
    });
  });
  return {
    async repaint(starter, fields) {
      const form = new FormData();
      form.append('image', new Blob([starter]), 'starter');
      for (const [name, value] of Object.entries(fields)) if (value !== '') form.append(name, String(value));
      const response = await fetch(`${url}/img2img`, { method: 'POST', body: form });
      if (!response.ok) throw new Error(await response.text());
      return read(Buffer.from(await response.arrayBuffer()));
    },
    stop: () => child.kill('SIGKILL'),
  };
}
