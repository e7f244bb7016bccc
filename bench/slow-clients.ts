// npm run soak:clients: 500 connections that send nearly nothing, then 200 uploads that are broken off. What do they cost the
// others, and what is left of them in memory and file descriptors? Writes results-slow-clients.md. Reads /proc: Linux only.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { cpus } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const slowConnections = 500;
const abortedUploads = 200;
const root = fileURLToPath(new URL('..', import.meta.url));
const starter = readFileSync(`${root}docs/pictures/still-life.jpg`);

const server = spawn(process.execPath, [`${root}dist/main.js`], {
  cwd: root,
  env: { ...process.env, PORT: '0', LOG_FORMAT: 'json', LOG_LEVEL: 'info', UPLOAD_TIMEOUT_MS: '20000' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
let url = '';
for await (const line of createInterface({ input: server.stdout })) {
  const { msg, address } = JSON.parse(line);
  if (msg !== 'ready') continue;
  url = address;
  break;
}
server.stdout.resume();
const port = Number(new URL(url).port);
const pid = server.pid!;

const descriptors = () => readdirSync(`/proc/${pid}/fd`).length;
const residentMiB = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;

/** Median and slowest of ten pictures, ms. */
async function latency(): Promise<{ median: number; max: number }> {
  const times: number[] = [];
  for (let i = 0; i < 10; i++) {
    const body = new FormData();
    body.append('image', new Blob([starter]), 'a.jpg');
    body.append('seed', String(i));
    const start = performance.now();
    const response = await fetch(`${url}/img2img`, { method: 'POST', body });
    await response.arrayBuffer();
    if (response.status !== 200) throw new Error(`an ordinary request was answered with ${response.status}`);
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return { median: times[5]!, max: times[9]! };
}

interface Row {
  readonly what: string;
  readonly median: number;
  readonly max: number;
  readonly fds: number;
  readonly rss: number;
}
const rows: Row[] = [];
async function measure(what: string): Promise<void> {
  const times = await latency();
  const row = { what, ...times, fds: descriptors(), rss: residentMiB() };
  rows.push(row);
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

await latency(); // warm
await measure('before');

const head = 'POST /img2img HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
const beginnings = [
  '',
  'POST /img2img HTTP/1.1\r\nHost: a\r\nX-Slow: ',
  `${head}Content-Length: 20000000\r\n\r\n{"image":"`,
  `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"ima`,
];
let open = 0;
const sockets: Socket[] = [];
for (let i = 0; i < slowConnections; i++) {
  const socket = connect(port, '127.0.0.1', () => {
    open++;
    socket.write(beginnings[i % beginnings.length]!);
  });
  socket.on('error', () => {});
  socket.on('data', () => {});
  socket.once('close', () => open--);
  // Some go on, a byte at a time.
  const drip = setInterval(() => socket.writable && i % 4 !== 0 && socket.write('a'), 1000);
  socket.once('close', () => clearInterval(drip));
  sockets.push(socket);
}
await sleep(1000);
await measure(`beside ${slowConnections} slow connections`);
const started = performance.now();
while (open > 0 && performance.now() - started < 120_000) await sleep(100);
if (open > 0) throw new Error(`${open} slow connections are still open`);
await sleep(2000);
await measure('after they were let go');

const boundary = 'Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 20000000\r\n\r\n';
const part = '--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n';
for (let i = 0; i < abortedUploads; i++) {
  await new Promise<void>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`POST /img2img HTTP/1.1\r\nHost: a\r\n${boundary}${part}`);
      socket.write(Buffer.alloc(5_000_000), () => socket.destroy());
    });
    socket.on('error', () => {});
    socket.once('close', () => resolve());
  });
}
await sleep(2000);
await measure(`after ${abortedUploads} uploads that were broken off`);
server.kill();

const [before] = rows as [Row];
const last = rows.at(-1)!;
const table = rows.map(
  ({ what, median, max, fds, rss }) =>
    `| ${what} | ${median.toFixed(0)} ms | ${max.toFixed(0)} ms | ${fds} | ${rss.toFixed(0)} MiB |`,
);
writeFileSync(
  `${root}bench/results-slow-clients.md`,
  `# Slow and broken clients

\`npm run soak:clients\` on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} cores of ${cpus()[0]!.model}, Node ${process.versions.node}.
Ten ordinary requests (default settings) in each row; memory and file descriptors of the HTTP process. \`UPLOAD_TIMEOUT_MS\` is 20 s, the other settings are the defaults.

| when | median | slowest | file descriptors | memory |
| --- | --- | --- | --- | --- |
${table.join('\n')}

At the end: ${last.fds - before.fds} file descriptors and ${(last.rss - before.rss).toFixed(0)} MiB more than before.
`,
);
