// npm run bench:gpu:rehearse: the kit as it runs on a GPU machine, on this one's CPU with a tiny model: packed, carried to an empty
// folder, unpacked and run with nothing else on the path but the system's programs. Writes results-gpu-rehearsal.jsonl.

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'img2img-rehearsal-'));
const inherit = { stdio: 'inherit' } as const;
try {
  const pieces = join(folder, 'pieces');
  execFileSync('npm', ['run', '--silent', 'bench:gpu:pack', '--', '--device', 'cpu', '--out', pieces], {
    cwd: root,
    ...inherit,
  });
  const there = join(folder, 'there');
  cpSync(pieces, there, { recursive: true });
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: folder };
  const options = ['--device', 'cpu', '--shape', 'tiny', '--seconds', '180'];
  execFileSync('sh', [join(there, 'run.sh'), join(folder, 'answers'), ...options], { cwd: folder, env, ...inherit });
  const results = fileURLToPath(new URL('../results-gpu-rehearsal.jsonl', import.meta.url));
  copyFileSync(join(folder, 'answers/answers.jsonl'), results);
} finally {
  rmSync(folder, { recursive: true });
}
