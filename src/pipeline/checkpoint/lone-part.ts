// A folder that is one part of a model, as hubs have them: config.json with its weights beside it. It is listed with what it is.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '../folder/configs.js';
import { shown } from '../folder/model-folder-error.js';
import { pickle, weightsFiles } from '../safetensors/files.js';
import { controlNet, partAlone, tinyAlone, vaeAlone } from './file-kind.js';

export function isLonePart(path: string): boolean {
  if (!existsSync(join(path, 'config.json')) || existsSync(join(path, 'model_index.json'))) return false;
  const names = readdirSync(path);
  return weightsFiles(names).length > 0 || names.some((name) => pickle.test(name));
}

/** The first that fits the class. */
const sentences: readonly (readonly [className: RegExp, sentence: string])[] = [
  [/ControlNet/, controlNet],
  [/^AutoencoderTiny$/, tinyAlone],
  [/^AutoencoderKL$/, vaeAlone],
  [/^(UNet2DConditionModel|CLIPText.*)$/, partAlone],
];

/** What it is, and why it cannot run. @throws ModelFolderError when its config cannot be read */
export function lonePartRefusal(path: string): string {
  const { _class_name: name, architectures } = readJson(path, 'config.json');
  const className = String(name ?? (Array.isArray(architectures) ? architectures[0] : undefined) ?? 'unknown');
  const known = sentences.find(([pattern]) => pattern.test(className));
  return (
    known?.[1] ?? `it is one part of something (${shown(className)}) and no whole model; models have model_index.json`
  );
}
