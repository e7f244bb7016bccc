// npm run bench:gpu:pack: the kit as pieces that can be carried one after the other to a GPU machine without network and Node.
//
//   npm run bench:gpu:pack -- [--answer FILE] [--device cuda|cpu] [--architecture 90] [--out FOLDER]
//
// FILE is what ask.sh said there: what the machine has is not brought. Without it the provider is brought, and no library of CUDA's.

import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { binaries, stageApp } from './pack/app.js';
import { keepArchitecture } from './pack/fatbin.js';
import { missingOf, readAnswer } from './pack/machine.js';
import { fetchLibraries, fetchNode, fetchProvider } from './pack/registries.js';

const pieceBytes = 48_000_000;
const { values } = parseArgs({
  options: {
    answer: { type: 'string' },
    device: { type: 'string', default: 'cuda' },
    architecture: { type: 'string' },
    out: { type: 'string', default: 'bench/gpu/pieces' },
  },
});
const root = fileURLToPath(new URL('../..', import.meta.url));
const out = resolve(values.out);
const machine = values.answer === undefined ? undefined : readAnswer(readFileSync(values.answer, 'utf8'));
const architecture = Number(values.architecture ?? machine?.architecture ?? 90);
const { version } = JSON.parse(readFileSync(join(root, 'node_modules/onnxruntime-node/package.json'), 'utf8'));
const missing = values.device === 'cpu' ? { provider: false, libraries: [] } : missingOf(machine, version);

const work = mkdtempSync(join(tmpdir(), 'img2img-kit-'));
try {
  const kit = join(work, 'kit');
  stageApp(root, join(kit, 'app'));
  fetchNode(join(kit, 'bin'), work);
  if (missing.provider) take(fetchProvider(version, work), join(kit, 'app', binaries));
  take(fetchLibraries(missing.libraries, work), join(kit, 'libraries'));
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const split = `tar -czf - -C "$1" . | split -b ${pieceBytes} -d -a 2 - "$2/piece-"`;
  execFileSync('sh', ['-c', split, 'sh', kit, out]);
  const pieces = readdirSync(out);
  writeFileSync(join(out, 'pieces.sha256'), execFileSync('sha256sum', pieces, { cwd: out }));
  for (const script of ['ask.sh', 'run.sh']) copyFileSync(join(root, 'bench/gpu', script), join(out, script));
  for (const piece of pieces) console.log(`${piece}: ${(statSync(join(out, piece)).size / 1e6).toFixed(1)} MB`);
} finally {
  rmSync(work, { recursive: true });
}

/** Libraries, with the code of the machine's own architecture only. */
function take(paths: readonly string[], to: string): void {
  mkdirSync(to, { recursive: true });
  for (const path of paths) {
    const library = readFileSync(path);
    const { kept, emptied, architectures } = keepArchitecture(library, architecture);
    writeFileSync(join(to, basename(path)), library, { mode: 0o755 });
    const code =
      architectures.length === 0 ? 'no code for GPUs' : `kept ${mb(kept)} of ${mb(kept + emptied)} of GPU code`;
    console.log(`${basename(path)}: ${mb(library.length)}, ${code} (${architectures.join(', ')})`);
  }
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
