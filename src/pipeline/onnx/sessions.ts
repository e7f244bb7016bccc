// The graphs of a model as onnxruntime sessions. The only file that loads onnxruntime.
// Facts about onnxruntime-node 1.30 that decide its shape: run() blocks the process; extra feeds are ignored in silence,
// so names are taken from the metadata; sessions must be released by hand; a float16 tensor has to hold a Uint16Array.

import { dirname } from 'node:path';
import { env, InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node';
import type { Provider } from '../../model-facts.js';
import type { Component } from '../folder/components.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { fromHalf, toHalf } from '../numbers/half.js';
import { type PatchedGraph, type PatchName, patched } from './patch.js';
import { smallestGraph } from './smallest-graph.js';

export const onnxruntimeVersion: string = env.versions.node ?? env.versions.common;

export interface DeviceOptions {
  readonly provider: Provider;
  /** Threads of one model run on the CPU. */
  readonly threads: number;
  /** Where patched graphs are kept. */
  readonly cacheDir: string;
}

/** Operators that a GPU's provider lacks run on the CPU. */
const executionProviders: Readonly<Record<Provider, InferenceSession.ExecutionProviderConfig[]>> = {
  cpu: ['cpu'],
  cuda: [{ name: 'cuda', deviceId: 0 }, 'cpu'],
  webgpu: ['webgpu', 'cpu'],
  coreml: ['coreml', 'cpu'],
  dml: ['dml', 'cpu'],
};

/**
 * Whether onnxruntime can run anything on a provider here: it leaves out in silence what its binary lacks.
 * @returns why it cannot, in a sentence without its end
 */
export async function providerFault(provider: Provider): Promise<string | undefined> {
  const names = listSupportedBackends().map(({ name }) => name);
  if (!names.includes(provider)) {
    const platform = `${process.platform} ${process.arch}`;
    return `onnxruntime has no ${provider} on ${platform}, it has ${names.join(', ')}`;
  }
  try {
    const session = await InferenceSession.create(smallestGraph(), {
      executionProviders: executionProviders[provider],
    });
    await session.release();
    return undefined;
  } catch (error) {
    const reason = (error as Error).message
      .trim()
      .split('\n')[0]!
      .replace(/^.* was false\. /, '');
    return `onnxruntime finds no device for ${provider} (${reason})`;
  }
}

/** Made of convolutions, whose plans CUDA makes anew for another number of pictures. */
const ofPictures: readonly Component[] = ['vae_encoder', 'vae_decoder', 'tiny_decoder'];

/** A dense array for a graph's input; the session casts it to the dtype that the graph declares. */
export interface Input {
  readonly data: Float32Array | readonly number[];
  readonly dims: readonly number[];
}

/** A graph's output in float32; of truths 0 and 1. */
export interface Output {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

type Dtype = 'float32' | 'float16' | 'float64' | 'int64' | 'int32';
interface InputMeta {
  readonly type: Dtype;
  /** Numbers are fixed, names are free. */
  readonly shape: readonly (number | string)[];
}

export class Session {
  /** Wall time of all runs so far, in ms: the floor that the service's overhead is measured against. */
  runMs = 0;
  /** What loading it took, ms. */
  loadMs = 0;

  private readonly outputNames: readonly string[];
  /** When its last run ended; absent where its arena has kept nothing. */
  private ranAt: number | undefined;
  /** Absent after its release. */
  private session: InferenceSession | undefined;

  private constructor(
    session: InferenceSession,
    private readonly inputs: ReadonlyMap<string, InputMeta>,
    /** Whether rows take a run each, as another number of them would cost more than a run: see engine/worker/call-shapes. */
    readonly oneByOne: boolean,
    private readonly create: () => Promise<InferenceSession>,
  ) {
    this.session = session;
    this.outputNames = session.outputNames;
  }

  /**
   * @param graph a file's path, or the graph itself
   * @param weightsFolder where its external weights lie when that is not beside it
   * @throws ModelFolderError when the graph does not load
   */
  static async load(
    component: Component,
    graph: string | Uint8Array,
    device: DeviceOptions,
    weightsFolder?: string,
  ): Promise<Session> {
    try {
      const options: InferenceSession.SessionOptions = {
        executionProviders: executionProviders[device.provider],
        intraOpNumThreads: device.threads,
        interOpNumThreads: 1,
        enableMemPattern: device.provider !== 'dml', // which DirectML does not take
        graphOptimizationLevel: 'all',
        // Without one, each tensor is a mapping of its own, whose pages the kernel clears: a third of a small VAE's time.
        enableCpuMemArena: true,
        logSeverityLevel: 3,
        extra: {
          session: {
            // Threads spin within a run, where it pays, and not for tens of milliseconds after it, on cores that others need.
            force_spinning_stop: '1',
            ...(weightsFolder !== undefined && { model_external_initializers_file_folder_path: weightsFolder }),
          },
        },
      };
      const create = () =>
        typeof graph === 'string' ? InferenceSession.create(graph, options) : InferenceSession.create(graph, options);
      const session = await create();
      const inputs = session.inputMetadata.map((meta): [string, InputMeta] => {
        if (!meta.isTensor) throw new Error(`its input ${meta.name} is not a tensor`);
        return [meta.name, { type: meta.type as Dtype, shape: meta.shape }];
      });
      const oneByOne = device.provider === 'cuda' && ofPictures.includes(component);
      return new Session(session, new Map(inputs), oneByOne, create);
    } catch (error) {
      const name = typeof graph === 'string' ? `${component}/model.onnx` : component;
      throw new ModelFolderError(`${name} does not load: ${(error as Error).message}`);
    }
  }

  takes(input: string): boolean {
    return this.inputs.has(input);
  }

  /** Of names that mean the same, the one that this graph has. */
  nameOf(names: readonly string[]): string {
    return names.find((name) => this.inputs.has(name))!;
  }

  /** The declared shape of an input: numbers are fixed, names are free. */
  shapeOf(input: string): readonly (number | string)[] {
    return this.inputs.get(input)!.shape;
  }

  /**
   * One model run. Blocks the process until it ends.
   * @param outputs names of those that are wanted; the first one if absent
   */
  async run(
    feeds: Readonly<Record<string, Input>>,
    outputs: readonly string[] = this.outputNames.slice(0, 1),
  ): Promise<Output[]> {
    if (!this.session) throw new Error('a session that was released runs no more');
    const tensors: Record<string, Tensor> = {};
    for (const [name, { data, dims }] of Object.entries(feeds)) {
      tensors[name] = toTensor(this.inputs.get(name)!.type, data, dims);
    }
    const start = performance.now();
    const results = await this.session.run(tensors, outputs);
    this.ranAt = performance.now();
    this.runMs += this.ranAt - start;
    return outputs.map((name) => ({ data: toFloats(results[name]!), dims: results[name]!.dims }));
  }

  /** Gives its memory back. */
  async release(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    await session?.release();
  }

  /** The same session after its release, of the same bytes. */
  async loadAgain(): Promise<void> {
    this.session ??= await this.create();
  }

  /** Whether its arena keeps what runs have taken, and none has run for so long, ms. */
  hasRested(ms: number): boolean {
    return this.session !== undefined && this.ranAt !== undefined && performance.now() - this.ranAt >= ms;
  }

  /** Gives back what its arena keeps, the most that a run has taken: onnxruntime does that for a new session only. */
  async giveBack(): Promise<void> {
    if (!this.session) return;
    // The new one first, as a run may begin meanwhile, or the model leave.
    const [old, fresh] = [this.session, await this.create()];
    if (this.session !== old) return await fresh.release();
    this.session = fresh;
    this.ranAt = undefined;
    await old.release();
  }
}

/** An exported graph whose weights are changed when it is loaded. */
export interface ChangedGraph {
  readonly path: string;
  /** What its weights take. */
  readonly weightBytes: number;
  /** @param patched the graph as the device takes it */
  over(patched: PatchedGraph): { readonly bytes: Uint8Array; readonly folder: string };
}

/** What a session is loaded from: a file, a graph in memory with the folder of its weights, or a file and what is changed of it. */
export type Loadable = string | { readonly bytes: Uint8Array; readonly folder: string } | ChangedGraph;

export type Sessions = Readonly<Record<'vae_encoder', Session> & Partial<Record<Component, Session>>>;

/**
 * Loads a folder's graphs, patched where that gives a timestep per row, a seeded draw, places for textual inversions, or operators
 * that the CPU has.
 */
export async function loadSessions(
  { graphs }: { readonly graphs: Readonly<Partial<Record<Component, Loadable>>> },
  device: DeviceOptions,
): Promise<Sessions> {
  const loaded: Partial<Record<Component, Session>> = {};
  try {
    for (const [component, graph] of Object.entries(graphs) as [Component, Loadable][]) {
      const start = performance.now();
      loaded[component] = await loadSession(component, graph, device);
      loaded[component].loadMs = performance.now() - start;
    }
    return loaded as Sessions;
  } catch (error) {
    for (const session of Object.values(loaded)) await session.release();
    throw error;
  }
}

function loadSession(component: Component, graph: Loadable, device: DeviceOptions): Promise<Session> {
  if (typeof graph === 'object' && 'bytes' in graph) return Session.load(component, graph.bytes, device, graph.folder);
  const path = typeof graph === 'string' ? graph : graph.path;
  const better = patchOf(component, path, device);
  if (typeof graph === 'string') return Session.load(component, better?.path ?? path, device, better?.weightsFolder);
  const { bytes, folder } = graph.over(better ?? { path, weightsFolder: dirname(path) });
  return Session.load(component, bytes, device, folder);
}

const exportersHabits: Readonly<Partial<Record<Component, PatchName>>> = {
  unet: 'perRowTimestep',
  vae_encoder: 'noiseAsInput',
  text_encoder: 'tokenVectorsAsInput',
  text_encoder_2: 'tokenVectorsAsInput',
};

/** @throws ModelFolderError when the graph cannot run on the device as it is, and cannot be rewritten */
function patchOf(component: Component, path: string, { provider, cacheDir }: DeviceOptions): PatchedGraph | undefined {
  const habit = exportersHabits[component];
  const names: PatchName[] = [...(provider !== 'cuda' ? ['unfuse' as const] : []), ...(habit ? [habit] : [])];
  try {
    return names.length > 0 ? patched(path, names, cacheDir) : undefined;
  } catch (error) {
    if (error instanceof ModelFolderError) throw error;
    // The model runs without, and says what is lost: equal timesteps only share a call, the draw is not seeded, prompts take
    // no textual inversions.
    process.stderr.write(`${component} could not be patched: ${(error as Error).message}\n`);
    return undefined;
  }
}

function toTensor(type: Dtype, data: Input['data'], dims: readonly number[]): Tensor {
  switch (type) {
    case 'float32':
      return new Tensor('float32', data instanceof Float32Array ? data : Float32Array.from(data), dims);
    case 'float64':
      return new Tensor('float64', Float64Array.from(data), dims);
    case 'float16':
      return halfTensor(toHalf(data), dims);
    case 'int64':
      return new Tensor(
        'int64',
        BigInt64Array.from(data, (x) => BigInt(Math.trunc(x))),
        dims,
      );
    case 'int32':
      return new Tensor('int32', Int32Array.from(data, Math.trunc), dims);
  }
}

/** Where there is a Float16Array (Node 24), the tensor makes one, and the native side then fails on it. */
function halfTensor(halves: Uint16Array, dims: readonly number[]): Tensor {
  const tensor = new Tensor('float16', halves, dims);
  (tensor as unknown as { cpuData: Uint16Array }).cpuData = halves;
  return tensor;
}

function toFloats({ type, data }: Tensor): Float32Array {
  if (type === 'float32') return data as Float32Array;
  if (type === 'bool') return Float32Array.from(data as Uint8Array);
  const { buffer, byteOffset, length } = data as Uint16Array;
  return fromHalf(new Uint16Array(buffer, byteOffset, length));
}
