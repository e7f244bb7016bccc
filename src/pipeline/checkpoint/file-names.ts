// The names of models that are one file.

import { existsSync } from 'node:fs';
import { basename } from 'node:path';

export const fileExtension = '.safetensors';

/** What llama.cpp and stable-diffusion.cpp keep weights in. */
export const gguf = /\.gguf$/;
export const ggufRefusal =
  'is GGUF, whose quantised weights are not supported: take the model as .safetensors in fp16 or bf16';

const withoutExtension = (path: string) => path.slice(0, -fileExtension.length);

/** NAME.safetensors is called NAME, unless something else beside it has that name. */
export const fileModelName = (path: string): string =>
  existsSync(withoutExtension(path)) ? basename(path) : basename(withoutExtension(path));

/** The settings beside a file: NAME.img2img.json. */
export const settingsOf = (path: string): string => `${withoutExtension(path)}.img2img.json`;
