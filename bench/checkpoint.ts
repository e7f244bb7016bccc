// From a checkpoint as it is downloaded to pictures: random single files of true dimensions (F16, the original layout), one after
// another, each alone in an empty MODELS_DIR, the service started on it. Reports the time, the disk and the memory.
//
//   npm run bench:checkpoint                    all families
//   npm run bench:checkpoint -- "Stable Diffusion 1.5"

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeRandomCheckpoint } from './checkpoints/random-checkpoint.js';
import { type CheckpointFamily, checkpointShapes } from './checkpoints/shapes.js';
import { AnonymousPeak, anonymousMiB, onePicture, peakMiB, residentMiB, startServer } from './server.js';

/** Of the first family; and of the last one, what it may have in memory beside mapped files. */
const limits = { seconds: 60, diskShare: 0.01, memoryRatio: 1.2, anonymousGiB: 16 };

const jointFamily = 'Stable Diffusion 3.5 medium';
/** Of the first picture, of 256 x 256. A joint transformer takes half a minute a step: its four are the ones that are timed. */
const firstOf = (family: CheckpointFamily): Readonly<Record<string, string>> =>
  family === jointFamily ? { steps: '4', strength: '1' } : { steps: '25', strength: '0.75' };
const parent = mkdtempSync(join(tmpdir(), 'img2img-checkpoint-'));
const seconds = (since: number) => (performance.now() - since) / 1000;

interface Measured {
  readonly family: CheckpointFamily;
  readonly load: number;
  readonly gigabytes: number;
  /** Seconds from the start. */
  readonly ready: number;
  readonly first: number;
  /** Seconds. */
  readonly step: number;
  readonly rest: number;
  readonly diskShare: number;
  /** Of the weights as F32. */
  readonly resident: number;
  readonly anonymous: number;
  readonly peak: number;
  /** GiB, from the start on. */
  readonly anonymousPeak: number;
}

async function measure(family: CheckpointFamily): Promise<Measured> {
  const [models, cache] = ['models', 'cache'].map((name) => join(parent, name)) as [string, string];
  for (const folder of [models, cache]) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
  }
  const bytes = writeRandomCheckpoint(join(models, 'random.safetensors'), checkpointShapes[family]);
  const picture = new Blob([new Uint8Array(await onePicture())]);
  const load = loadavg()[0]!;

  const start = performance.now();
  let most: AnonymousPeak | undefined;
  const settings = { MODELS_DIR: models, CACHE_DIR: cache, REQUEST_TIMEOUT_MS: '3600000' };
  const server = await startServer(settings, undefined, (pid) => {
    most = new AnonymousPeak(pid);
  });
  const ready = seconds(start);
  const make = async (fields: Readonly<Record<string, string>>) => {
    const form = new FormData();
    form.set('image', picture, 'starter.png');
    for (const [name, value] of Object.entries({ prompt: 'a lighthouse', guidance: '7.5', ...fields }))
      form.set(name, value);
    const begin = performance.now();
    const response = await fetch(`${server.url}/img2img`, { method: 'POST', body: form });
    if (response.status !== 200) throw new Error(`the service answered ${response.status}: ${await response.text()}`);
    await response.arrayBuffer();
    const denoise = Number(/denoise;dur=([\d.]+)/.exec(response.headers.get('server-timing') ?? '')?.[1]) / 1000;
    return { took: seconds(begin), denoise };
  };
  /** Of 512 x 512, after one that is not timed. */
  const timedStep = async () => {
    const size = { width: '512', height: '512', strength: '1', scheduler: 'euler' };
    await make({ ...size, steps: '1' });
    const [two, four] = [await make({ ...size, steps: '2' }), await make({ ...size, steps: '4' })];
    const step = (four.took - two.took) / 2;
    return { step, rest: two.took - 2 * step };
  };
  try {
    const { took, denoise } = await make({ width: '256', height: '256', ...firstOf(family) });
    const first = seconds(start);
    const worker = server.pids()[1]!;
    const weights = (2 * bytes) / 2 ** 20; // F16 on disk, F32 in memory
    const [resident, anonymous, peak] = [residentMiB, anonymousMiB, peakMiB].map((of) => of(worker) / weights);
    const { step, rest } = family === jointFamily ? { step: denoise / 4, rest: took - denoise } : await timedStep();
    const written = readdirSync(cache, { recursive: true, encoding: 'utf8' })
      .map((name) => statSync(join(cache, name)))
      .reduce((sum, stat) => sum + stat.size, 0);
    return {
      ...{ family, load, gigabytes: bytes / 1e9, ready, first, step, rest },
      ...{ diskShare: written / bytes, resident: resident!, anonymous: anonymous!, peak: peak! },
      anonymousPeak: most!.mib / 1024,
    };
  } finally {
    most?.stop();
    await server.stop();
  }
}

const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;

function report(all: readonly Measured[]): void {
  const line = (name: string, limit: string | number, of: (one: Measured) => string) =>
    console.log(row([name, limit, ...all.map(of)]));
  console.log(`${availableParallelism()} cores, Node ${process.version}\n`);
  console.log(row(['', 'limit', ...all.map(({ family }) => family)]));
  console.log(row(['---', '---', ...all.map(() => '---')]));
  line('the file, F16', '', ({ gigabytes }) => `${gigabytes.toFixed(2)} GB`);
  line('start to ready', '', ({ ready }) => `${ready.toFixed(1)} s`);
  line(
    'start to the first picture, 256 x 256, 18 of 25 steps (Stable Diffusion 3.5: 4), guided',
    `${limits.seconds} s`,
    ({ first }) => `${first.toFixed(1)} s`,
  );
  line('a guided step at 512 x 512 (3.5: 256 x 256)', '', ({ step }) => `${step.toFixed(1)} s`);
  line('all else of such a picture', '', ({ rest }) => `${rest.toFixed(1)} s`);
  line(
    'written to the cache, of the file',
    `${100 * limits.diskShare} %`,
    ({ diskShare }) => `${(100 * diskShare).toFixed(3)} %`,
  );
  line('resident memory of the worker, of the weights as F32', limits.memoryRatio, ({ resident }) =>
    resident.toFixed(2),
  );
  line('without what is mapped from files', '', ({ anonymous }) => anonymous.toFixed(2));
  line('its peak after loading', '', ({ peak }) => peak.toFixed(2));
  line('the most without what is mapped, while loading too', `3.5: ${limits.anonymousGiB} GiB`, ({ anonymousPeak }) => {
    return `${anonymousPeak.toFixed(1)} GiB`;
  });
  line('the weights as F32', '', ({ gigabytes }) => `${(2 * gigabytes).toFixed(1)} GB`);
  line('load of the machine before', '', ({ load }) => load.toFixed(2));
}

const families = Object.keys(checkpointShapes) as CheckpointFamily[];
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !families.includes(name as CheckpointFamily));
if (unknown.length > 0) throw new Error(`no family ${unknown.join(', ')}; there are ${families.join(', ')}`);
try {
  const all: Measured[] = [];
  for (const family of families.filter((each) => wanted.length === 0 || wanted.includes(each))) {
    all.push(await measure(family));
    report(all);
  }
  const meets = ({ first, diskShare, resident }: Measured) =>
    first < limits.seconds && diskShare < limits.diskShare && resident < limits.memoryRatio;
  const isSmall = ({ family, anonymousPeak }: Measured) =>
    family !== jointFamily || anonymousPeak <= limits.anonymousGiB;
  if (all.some((one) => (one.family === families[0] && !meets(one)) || !isSmall(one))) process.exitCode = 1;
} finally {
  rmSync(parent, { recursive: true });
}
