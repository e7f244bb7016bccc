// A small model with the safety checker of test/reference/safety.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readHeader } from '../../src/pipeline/safetensors/header.js';
import { reference } from './cases.js';

/** @returns the folder's path */
export function checkedFolder(path: string, form: 'safetensors' | 'onnx' = 'safetensors'): string {
  cpSync(reference('tiny'), path, { recursive: true });
  cpSync(reference('safety/feature_extractor'), join(path, 'feature_extractor'), { recursive: true });
  const checker = join(path, 'safety_checker');
  if (form === 'safetensors') cpSync(reference('safety/safety_checker'), checker, { recursive: true });
  else {
    mkdirSync(checker);
    cpSync(reference('safety/onnx/model.onnx'), join(checker, 'model.onnx'));
  }
  return path;
}

/** Gives all of its concepts one threshold: from -2 on it flags everything, up to 2 nothing. */
export function setThreshold(path: string, threshold: number): void {
  const file = join(path, 'safety_checker', 'model.safetensors');
  const place = readHeader(file).tensors.get('concept_embeds_weights')!;
  const bytes = readFileSync(file);
  for (let at = place.offset; at < place.offset + place.length; at += 4) bytes.writeFloatLE(threshold, at);
  writeFileSync(file, bytes);
}
