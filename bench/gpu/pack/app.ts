// The service and the kit as they run without a compiler: JavaScript beside its production dependencies.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';

const inherit = { stdio: ['ignore', 'inherit', 'inherit'] as ['ignore', 'inherit', 'inherit'] };

/** Of onnxruntime-node. */
export const binaries = 'node_modules/onnxruntime-node/bin/napi-v6/linux/x64';

/** @param root of the repository */
export function stageApp(root: string, to: string): void {
  mkdirSync(to, { recursive: true });
  const tsc = join(root, 'node_modules/.bin/tsc');
  execFileSync(tsc, ['-p', join(root, 'bench/gpu/tsconfig.json'), '--outDir', to], { cwd: root, ...inherit });
  cpSync(join(root, 'src/http/page/assets'), join(to, 'src/http/page/assets'), { recursive: true });
  for (const name of ['package.json', 'LICENSE', 'assets', 'fonts']) {
    cpSync(join(root, name), join(to, name), { recursive: true });
  }
  for (const folder of productionPackages(root)) {
    cpSync(folder, join(to, relative(root, folder)), { recursive: true, dereference: true, filter: isNeeded });
  }
  const runtimes = join(to, 'node_modules/onnxruntime-node/bin/napi-v6');
  for (const platform of readdirSync(runtimes))
    if (platform !== 'linux') rmSync(join(runtimes, platform), { recursive: true });
  rmSync(join(runtimes, 'linux/arm64'), { recursive: true, force: true });
}

/** Folders of what the service needs at run time, dependencies of dependencies included. */
export function productionPackages(root: string): string[] {
  // It fails where something optional is missing, and lists all the same.
  const command = 'npm ls --omit=dev --all --parseable 2>/dev/null || true';
  const listed = execFileSync('sh', ['-c', command], { cwd: root, encoding: 'utf8' });
  return listed.split('\n').filter((line) => line.includes('node_modules'));
}

/** Types and maps serve nobody there; a dependency's own dependencies are listed by themselves. */
function isNeeded(path: string): boolean {
  return !/\.(map|d\.[mc]?ts)$/.test(path) && !/node_modules\/.*\/node_modules$/.test(path);
}
