// Which files of a repository a model needs: of each part its config and its weights in one precision, as the loader would take
// them. Pickles are never among them.

import { posix } from 'node:path';
import { familyOf } from '../../pipeline/families/index.js';
import { checkJson, type Json } from '../../pipeline/folder/configs.js';
import { ModelFolderError } from '../../pipeline/folder/model-folder-error.js';
import { ModelIndex } from '../../pipeline/folder/schemas.js';
import { pickle, pickleRefusal, weightMap, weightsFiles } from '../../pipeline/safetensors/files.js';
import { processorFile } from '../../pipeline/safety/clip-image-processor.js';
import { ModelsError } from '../models-error.js';
import type { RemoteFile, RemoteRepository } from './hub.js';

/** Reads a small file of the repository. */
export type ReadJson = (file: RemoteFile) => Promise<Json>;

const index = 'model_index.json';
const settings = ['img2img.json', 'scheduler/scheduler_config.json'];
const tokenizerFiles = [
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
];
const tokenizers = ['tokenizer', 'tokenizer_2'].flatMap((folder) => tokenizerFiles.map((file) => `${folder}/${file}`));
/** Of ONNX, the VAE comes in halves. */
const parts: readonly (readonly [part: string, asOnnx: readonly string[]])[] = [
  ['text_encoder', ['text_encoder']],
  ['text_encoder_2', ['text_encoder_2']],
  ['unet', ['unet']],
  ['vae', ['vae_encoder', 'vae_decoder']],
];
/** 1.2 GB more for what is off as a rule: only where it is asked for. */
const safetyPart = ['safety_checker', ['safety_checker']] as const;
const onnxGraph = 'model.onnx';
/** Beside a graph: its weights, whatever their exporter called them. */
const besideGraph = /^(?:config\.json|model\.onnx(?:[._]data)?|weights\.pb)$/;

/** @throws ModelsError when the repository does not have it, or it is none that runs */
export function selectFile({ name, files }: RemoteRepository, path: string): RemoteFile {
  if (pickle.test(path)) throw new ModelsError(`${path} ${pickleRefusal}`);
  if (!path.endsWith('.safetensors'))
    throw new ModelsError(`${path} is no .safetensors file, and no other runs by itself`);
  const file = files.get(path);
  if (file) return file;
  throw new ModelsError(`${name} has no file ${path}${offered(files)}`);
}

/**
 * @param variant such as `fp16`: of each part that has it; what the loader would take if absent
 * @param withSafetyChecker its safety checker too, which must then be there
 * @throws ModelsError when it is no folder that runs
 */
export async function selectFolder(
  repository: RemoteRepository,
  variant: string | undefined,
  readJson: ReadJson,
  withSafetyChecker = false,
): Promise<RemoteFile[]> {
  const { name, files } = repository;
  const top = files.get(index);
  if (!top) {
    const offer = offered(files);
    throw new ModelsError(
      `${name} is no folder in diffusers' layout: it has no ${index}${offer === '' ? ', and no .safetensors file either' : offer}`,
    );
  }
  await checkIndex(name, await readJson(top));
  const chosen = [index, ...settings, ...tokenizers].flatMap((path) => files.get(path) ?? []);
  const variants = new Set<string>();
  if (withSafetyChecker) chosen.push(...existing(files, processorFile));
  for (const [part, asOnnx] of withSafetyChecker ? [...parts, safetyPart] : parts) {
    const weights = weightsFiles(namesIn(files, part));
    for (const each of weights) variants.add(each.variant);
    const [best] =
      variant === undefined ? weights : [...weights.filter((each) => each.variant === variant), ...weights];
    if (best)
      chosen.push(
        ...(await withShards(files, `${part}/${best.name}`, readJson)),
        ...existing(files, `${part}/config.json`),
      );
    else chosen.push(...onnxFiles(files, name, part, asOnnx));
  }
  if (variant !== undefined && !variants.has(variant)) {
    const known = [...variants].filter((each) => each !== '');
    const offer = known.length > 0 ? `it has ${known.join(', ')}` : 'it has none';
    throw new ModelsError(`${name} has no weights of the variant ${variant}; ${offer}`);
  }
  return chosen;
}

async function checkIndex(name: string, json: Json): Promise<void> {
  try {
    checkJson(index, json, ModelIndex);
    familyOf(String(json._class_name ?? 'unknown'));
  } catch (error) {
    if (error instanceof ModelFolderError) throw new ModelsError(`${name} cannot run here: ${error.message}`);
    throw error;
  }
}

/** The text encoders are not all there in every family; what must be there the loader says. */
function onnxFiles(
  files: RemoteRepository['files'],
  name: string,
  part: string,
  folders: readonly string[],
): RemoteFile[] {
  const found = folders.filter((folder) => files.has(`${folder}/${onnxGraph}`));
  const refused = namesIn(files, part).find((file) => pickle.test(file));
  if (found.length === 0 && refused !== undefined)
    throw new ModelsError(`${name}: ${part}/${refused} ${pickleRefusal}`);
  if (found.length === 0 && !part.startsWith('text_encoder')) {
    throw new ModelsError(`${name} has no weights for its ${part}: neither safetensors nor ${onnxGraph}`);
  }
  return found.flatMap((folder) =>
    namesIn(files, folder)
      .filter((file) => besideGraph.test(file))
      .map((file) => files.get(`${folder}/${file}`)!),
  );
}

/** Weights that are an index, with the files that it names. */
async function withShards(files: RemoteRepository['files'], path: string, readJson: ReadJson): Promise<RemoteFile[]> {
  const file = files.get(path)!;
  if (!path.endsWith('.json')) return [file];
  const shards = new Set(shardsOf(path, await readJson(file)));
  return [file, ...[...shards].map((shard) => shardFile(files, `${posix.dirname(path)}/${shard}`, path))];
}

function shardsOf(path: string, json: Json): Iterable<string> {
  try {
    return weightMap(json).values();
  } catch (error) {
    throw new ModelsError(`${path}: ${(error as Error).message}`);
  }
}

function shardFile(files: RemoteRepository['files'], shard: string, indexPath: string): RemoteFile {
  const file = files.get(shard);
  if (file) return file;
  throw new ModelsError(`${indexPath} names ${shard}, which the repository does not have`);
}

const existing = (files: RemoteRepository['files'], path: string): RemoteFile[] => {
  const file = files.get(path);
  return file ? [file] : [];
};

const namesIn = (files: RemoteRepository['files'], folder: string): string[] =>
  [...files.keys()].filter((path) => posix.dirname(path) === folder).map((path) => posix.basename(path));

/** The files that could be asked for by themselves. */
function offered(files: RemoteRepository['files']): string {
  const names = [...files.keys()].filter((path) => path.endsWith('.safetensors') && !path.includes('/'));
  return names.length === 0 ? '' : `; name one of its files: ${names.slice(0, 10).join(', ')}`;
}
