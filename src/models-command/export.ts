// `export`: a checkpoint -> an ONNX folder in diffusers' layout, with everything that a loader of such folders wants.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { ModelSource } from '../pipeline/checkpoint/model-source.js';
import { vocabularyOf } from '../pipeline/clip-vocabulary.js';
import type { Component } from '../pipeline/folder/components.js';
import type { Json } from '../pipeline/folder/configs.js';
import { type ModelFolder, openSource, readModelFolder } from '../pipeline/folder/model-folder.js';
import type { GatheredGraph } from '../pipeline/graphs/graph-writer.js';
import { reasonOf, withTokenizers } from '../pipeline/inspect-model.js';
import type { TensorPlace } from '../pipeline/safetensors/header.js';
import { ModelsError } from './models-error.js';
import { inBytes, type Output } from './output.js';

export interface ExportOptions {
  readonly path: string;
  /** A folder that is not there yet. */
  readonly out: string;
  readonly signal: AbortSignal;
  readonly output: Output;
  freeBytes(folder: string): number;
}

const dataFile = 'model.onnx_data';
const chunkBytes = 1 << 22;

/** @throws ModelsError */
export async function exportModel({ path, out, signal, output, freeBytes }: ExportOptions): Promise<void> {
  const { source, folder } = read(path);
  const target = resolve(out);
  if (existsSync(target)) throw new ModelsError(`OUT ${out} is there already; it is not written over`);
  if (!existsSync(dirname(target))) throw new ModelsError(`OUT ${out} would lie in a folder that is not there`);
  const components = Object.keys(folder.graphs) as Component[];
  const gathered = components.flatMap((component): [Component, GatheredGraph][] => {
    const graph = folder.graphs[component]!;
    return typeof graph === 'string' ? [] : [[component, graph.gathered(dataFile)]];
  });
  if (gathered.length === 0) throw new ModelsError(`${path} is an ONNX folder already`);
  const bytes = gathered.reduce((sum, [, { weightBytes }]) => sum + weightBytes, 0);
  const free = freeBytes(dirname(target));
  if (bytes > free)
    throw new ModelsError(`${inBytes(bytes)} are to be written, and the disk has ${inBytes(free)} free`);

  const made = join(dirname(target), `.${basename(target)}.export`);
  rmSync(made, { recursive: true, force: true });
  try {
    writeConfigs(source, folder, made);
    for (const [component, graph] of gathered) {
      output.tell(`${component}: ${inBytes(graph.weightBytes)}`);
      mkdirSync(join(made, component), { recursive: true });
      writeFileSync(join(made, component, 'model.onnx'), graph.bytes);
      await writeWeights(join(made, component, dataFile), graph, signal);
    }
    for (const graph of Object.values(folder.graphs)) {
      if (typeof graph === 'string') copyFiles(dirname(graph), join(made, basename(dirname(graph))));
    }
    renameSync(made, target);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  output.print(`${out}: ${components.length} graphs, ${inBytes(bytes)} of weights`);
}

function read(path: string): { source: ModelSource; folder: ModelFolder } {
  try {
    const source = openSource(path);
    return {
      source,
      folder: withTokenizers(readModelFolder(path, 'cuda', source, { best: 'fp32', withTiny: false })).folder,
    };
  } catch (error) {
    throw new ModelsError(`${path} cannot be exported: ${reasonOf(error)}`);
  }
}

function writeConfigs(source: ModelSource, folder: ModelFolder, made: string): void {
  const any = {};
  const write = (file: string, json: Json) => {
    mkdirSync(dirname(join(made, file)), { recursive: true });
    writeFileSync(join(made, file), `${JSON.stringify(json, undefined, 2)}\n`);
  };
  const scheduler = source.json('scheduler/scheduler_config.json', any);
  write('scheduler/scheduler_config.json', scheduler);
  for (const component of Object.keys(folder.graphs) as Component[]) {
    const own = source.json(`${component}/config.json`, any, {});
    const config = component.startsWith('vae') ? { ...source.json('vae/config.json', any, {}), ...own } : own;
    write(`${component}/config.json`, config);
  }
  for (const { tokenizer, tokenizerSource } of folder.textEncoders) {
    copyFiles(tokenizerSource.folder, join(made, tokenizer));
    writeVocabulary(join(made, tokenizer));
    if (tokenizerSource.padToken !== undefined) writeSpecial(join(made, tokenizer), tokenizerSource.padToken);
  }
  write('model_index.json', { ...source.json('model_index.json', any), ...classesOf(folder, scheduler) });
  // What followed from the name would be lost with it.
  const turbo = folder.kind.endsWith('turbo') && { turbo: true };
  const { precision: _written, tiny_vae: _beside, ...own } = source.json('img2img.json', any, {});
  const settings = { ...own, ...turbo };
  if (Object.keys(settings).length > 0) write('img2img.json', settings);
}

/** Which class of which library loads each part, as loaders of such folders want to know. */
function classesOf({ graphs, textEncoders }: ModelFolder, { _class_name: scheduler }: Json): Json {
  const tokenizers = textEncoders.map(({ language, tokenizer }) => [
    tokenizer,
    ['transformers', language === 't5' ? 'T5TokenizerFast' : 'CLIPTokenizer'],
  ]);
  const parts = Object.keys(graphs).map((component) => [component, ['diffusers', 'OnnxRuntimeModel']]);
  return { ...Object.fromEntries([...parts, ...tokenizers]), scheduler: ['diffusers', scheduler] };
}

/** Regular files, links followed. */
function copyFiles(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    if (statSync(join(from, name), { throwIfNoEntry: false })?.isFile() && !name.endsWith('.md')) {
      copyFileSync(join(from, name), join(to, name));
    }
  }
}

/** Other loaders want it beside the merges that it follows from. */
function writeVocabulary(folder: string): void {
  if (['tokenizer.json', 'vocab.json'].some((file) => existsSync(join(folder, file)))) return;
  const merges = readFileSync(join(folder, 'merges.txt'), 'utf8');
  writeFileSync(join(folder, 'vocab.json'), JSON.stringify(vocabularyOf(merges)));
}

function writeSpecial(folder: string, padToken: string): void {
  const write = (file: string, json: object) => writeFileSync(join(folder, file), JSON.stringify(json));
  const special = {
    bos_token: '<|startoftext|>',
    eos_token: '<|endoftext|>',
    unk_token: '<|endoftext|>',
    pad_token: padToken,
  };
  write('special_tokens_map.json', special);
  write('tokenizer_config.json', { ...special, tokenizer_class: 'CLIPTokenizer', model_max_length: 77 });
}

async function writeWeights(path: string, { weights, weightBytes }: GatheredGraph, signal: AbortSignal): Promise<void> {
  const buffer = Buffer.alloc(chunkBytes);
  const sources = new Map<string, FileHandle>();
  const target = await open(path, 'wx');
  try {
    await target.truncate(weightBytes);
    for (const { from, at } of weights) {
      const source = sources.get(from.file) ?? (await open(from.file));
      sources.set(from.file, source);
      await copyTensor(source, from, target, at, buffer, signal);
    }
  } catch (error) {
    signal.throwIfAborted();
    const { syscall, code } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw new ModelsError(`${path} cannot be written: ${code}`);
  } finally {
    for (const handle of [target, ...sources.values()]) await handle.close();
  }
}

async function copyTensor(
  source: FileHandle,
  { file, offset, length }: TensorPlace,
  target: FileHandle,
  at: number,
  buffer: Buffer,
  signal: AbortSignal,
): Promise<void> {
  for (let done = 0; done < length; ) {
    signal.throwIfAborted();
    const { bytesRead } = await source.read(buffer, 0, Math.min(buffer.length, length - done), offset + done);
    if (bytesRead === 0) throw new ModelsError(`${file} became shorter while it was read`);
    for (let written = 0; written < bytesRead; ) {
      written += (await target.write(buffer, written, bytesRead - written, at + done + written)).bytesWritten;
    }
    done += bytesRead;
  }
}
