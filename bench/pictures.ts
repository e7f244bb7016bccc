// npm run soak:pictures: what hostile and large uploads take. Each is decoded in a fresh process; its peak and ours are read from
// the kernel. Writes bench/results-pictures.md.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { PictureReader } from '../src/image/host/picture-reader.js';
import { attacks, largePictures } from '../test/image/attacks.js';

const settings = { maxBytes: 1_610_612_736, timeoutMs: 120_000 };
const maxPixels = 50_000_000;

const status = (pid: number | string, name: string) =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

/** Of all its threads; the kernel counts in hundredths of a second. Source: proc_pid_stat(5), fields 14 and 15. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

interface Taken {
  readonly name: string;
  readonly uploadKb: number;
  readonly outcome: string;
  /** Of the processor, here, blocking: reading the header. */
  readonly headerMs: number;
  /** Of the processor, in the process that decodes: to be compared on a machine that does other things too. */
  readonly decodeMs: number;
  /** Beyond what the process has when it has decoded a small picture. */
  readonly peakMb: number;
  readonly expectedMb: number;
}

async function take(name: string, bytes: Buffer): Promise<Taken> {
  const reader = new PictureReader(settings);
  const size = { width: 512, height: 512 };
  await reader.decode(reader.inspect(smallPng, maxPixels), size, 'cover', [0, 0, 0]);
  const [pid] = reader.status.pids;
  const before = { peak: status(pid!, 'VmHWM'), ms: processorMs(pid!) };
  let now = before;
  const look = () => {
    try {
      now = { peak: Math.max(now.peak, status(pid!, 'VmHWM')), ms: processorMs(pid!) };
    } catch {} // it ended
  };
  const watch = setInterval(look, 5);
  const start = process.cpuUsage();
  const spent = () => {
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  };
  let headerMs: number | undefined;
  let outcome = '200';
  let expectedMb = 0;
  try {
    const starter = reader.inspect(bytes, maxPixels);
    headerMs = spent();
    expectedMb = starter.header.held / 2 ** 20;
    await reader.decode(starter, size, 'cover', [0, 0, 0]);
  } catch (error) {
    headerMs ??= spent();
    outcome = `${(error as { code?: string }).code}: ${(error as Error).message}`;
  }
  look();
  clearInterval(watch);
  const [decodeMs, peakMb] = [now.ms - before.ms, now.peak - before.peak];
  await reader.close();
  const taken = { name, uploadKb: bytes.length / 1024, outcome, headerMs, decodeMs, peakMb, expectedMb };
  console.log(row(taken));
  return taken;
}

const row = ({ name, uploadKb, outcome, headerMs, decodeMs, peakMb, expectedMb }: Taken) =>
  `| ${name} | ${Math.ceil(uploadKb)} | ${headerMs.toFixed(0)} | ${decodeMs.toFixed(0)} | ${expectedMb.toFixed(0)} | ${peakMb.toFixed(0)} | ${outcome} |`;

const smallPng = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

const table = (rows: readonly Taken[]) =>
  [
    '| upload | KB | header, ms | decoding, ms | held by the header, MB | peak, MB | answer |',
    '| --- | ---: | ---: | ---: | ---: | ---: | --- |',
    ...rows.map(row),
  ].join('\n');

const only = process.argv[2];
async function all(pictures: Record<string, () => Buffer | Promise<Buffer>>): Promise<Taken[]> {
  const taken: Taken[] = [];
  for (const [name, make] of Object.entries(pictures)) {
    if (only === undefined || name.includes(only)) taken.push(await take(name, await make()));
  }
  return taken;
}

const hostile = await all(await attacks());
const large = await all(await largePictures());
if (only === undefined) {
  writeFileSync(
    new URL('results-pictures.md', import.meta.url),
    `# What uploads take

By \`npm run soak:pictures\`, on ${cpus().length} x ${cpus()[0]!.model}, Node ${process.versions.node}. Each upload is decoded to 512 x 512 in a
process that has decoded a small picture before; the peak is what its resident memory grew by. The header is read in the
HTTP process, which does nothing else meanwhile. Times are the processor's.

## Hostile uploads

${table(hostile)}

## Large pictures of 48 megapixels

${table(large)}
`,
  );
}
