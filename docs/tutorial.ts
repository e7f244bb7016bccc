// npm run docs:tutorial runs the commands of tutorial.md, in order, against a server of its own, and so makes its pictures.

import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = await readFile(`${root}docs/tutorial.md`, 'utf8');
const commands = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block]) => block!);

const server = spawn(process.execPath, ['--import', 'tsx', `${root}src/main.ts`], {
  cwd: root,
  env: { ...process.env, PORT: '0', LOG_FORMAT: 'json' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
const address = await new Promise<string>((resolve, reject) => {
  server.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
  createInterface({ input: server.stdout }).on('line', (line) => {
    const { msg, address } = JSON.parse(line);
    if (msg === 'ready') resolve(address);
  });
});
const script = commands.join('\n').replaceAll('http://127.0.0.1:8080', address);
const shell = spawn('bash', ['-euo', 'pipefail', '-c', script], { cwd: root, stdio: 'inherit' });
shell.once('exit', (code) => {
  server.kill('SIGKILL');
  process.exitCode = code ?? 1;
});
