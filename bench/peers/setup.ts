// Each peer in a folder of its own, as its README says: virtual environments from PyPI, and a build of stable-diffusion.cpp's server
// from the source that its Python package carries. What is there already is kept.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeRandomCheckpoint } from '../checkpoints/random-checkpoint.js';
import { checkpointShapes } from '../checkpoints/shapes.js';

const server = ['fastapi==0.128.0', 'uvicorn==0.40.0', 'python-multipart==0.0.21', 'pillow'];
const packages = {
  optimum: [
    'optimum-onnx[onnxruntime]==0.1.0',
    'diffusers==0.35.2',
    'transformers==4.57.6',
    'torch',
    'onnx',
    ...server,
  ],
  diffusers: ['diffusers[torch]==0.35.2', 'transformers==4.57.6', ...server],
} as const;
const sdcppSource = 'stable-diffusion-cpp-python==0.4.7';

const inherit = { stdio: ['ignore', 'inherit', 'inherit'] as ['ignore', 'inherit', 'inherit'] };
const repository = fileURLToPath(new URL('../..', import.meta.url));
export const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export type PythonPeer = keyof typeof packages;

/** @returns its python */
export function python(work: string, peer: PythonPeer): string {
  const folder = join(work, peer);
  const program = join(folder, 'bin/python');
  if (!existsSync(join(folder, 'installed'))) {
    execFileSync(process.env.PYTHON ?? 'python3', ['-m', 'venv', folder], inherit);
    execFileSync(program, ['-m', 'pip', 'install', '--quiet', ...packages[peer]], inherit);
    mkdirSync(join(folder, 'installed'));
  }
  return program;
}

/** stable-diffusion.cpp's server for this processor, as docs/build.md says. @returns the program */
export function sdcpp(work: string): string {
  const folder = join(work, 'sdcpp');
  const program = join(folder, 'build/bin/sd-server');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary', ':all:', '-d', folder, sdcppSource];
  if (!readdirSync(folder).some((name) => name.endsWith('.tar.gz'))) {
    execFileSync(process.env.PYTHON ?? 'python3', pip, inherit);
  }
  const archive = readdirSync(folder).find((name) => name.endsWith('.tar.gz'))!;
  const source = join(folder, 'vendor/stable-diffusion.cpp');
  if (!existsSync(source)) {
    execFileSync('tar', ['-xzf', join(folder, archive), '--strip-components=1', '-C', folder], inherit);
  }
  // GGML_NATIVE is on by default: it builds for the processor that it is built on. WebP is for its command line.
  const options = ['-DCMAKE_BUILD_TYPE=Release', '-DSD_WEBP=OFF', '-DSD_WEBM=OFF', '-DSD_BUILD_EXAMPLES=ON'];
  execFileSync('cmake', ['-S', source, '-B', join(folder, 'build'), ...options], inherit);
  execFileSync('cmake', ['--build', join(folder, 'build'), '--target', 'sd-server', '--parallel'], inherit);
  return program;
}

export interface RandomModel {
  /** For us and stable-diffusion.cpp: alone in its folder. */
  readonly file: string;
  readonly diffusers: string;
  readonly optimum: string;
}

/** A random single file in Stable Diffusion 1.5's shape, and what diffusers and optimum make of it. */
export function randomModel(work: string): RandomModel {
  const folder = join(work, 'models');
  const file = join(folder, 'single/sd15.safetensors');
  if (!existsSync(file)) {
    mkdirSync(join(folder, 'single'), { recursive: true });
    writeRandomCheckpoint(file, checkpointShapes['Stable Diffusion 1.5']);
  }
  const merges = join(repository, 'assets/clip/merges.txt');
  if (!existsSync(join(folder, 'optimum/model_index.json'))) {
    execFileSync(python(work, 'optimum'), [here('convert.py'), file, folder, merges], inherit);
  }
  return { file, diffusers: join(folder, 'diffusers'), optimum: join(folder, 'optimum') };
}

/** Bytes that an installation takes. */
export function sizeOf(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
