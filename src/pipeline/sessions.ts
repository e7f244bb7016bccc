// The four graphs of a model as onnxruntime sessions. The only file that loads onnxruntime.
// Facts about onnxruntime-node 1.30 that decide its shape: run() blocks the process; extra feeds are ignored in silence,
// so names are taken from the metadata; sessions must be released by hand.

import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import { type Component, components, ModelFolderError } from './model-folder.js';

export const onnxruntimeVersion: string = env.versions.node ?? env.versions.common;

export interface DeviceOptions {
  readonly provider: 'cpu' | 'cuda';
  /** Threads of one model run on the CPU. */
  readonly threads: number;
}

/** A dense array for a graph's input; the session casts it to the dtype that the graph declares. */
export interface Input {
  readonly data: Float32Array | readonly number[];
  readonly dims: readonly number[];
}

/** A graph's first output in float32. */
export interface Output {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

type Dtype = 'float32' | 'int64' | 'int32';
interface InputMeta {
  readonly type: Dtype;
  /** Numbers are fixed, names are free. */
  readonly shape: readonly (number | string)[];
}
const dtypes: readonly string[] = ['float32', 'int64', 'int32'] satisfies Dtype[];

export class Session {
  /** Wall time of all runs so far, in ms: the floor that the service's overhead is measured against. */
  runMs = 0;

  private constructor(
    private readonly session: InferenceSession,
    private readonly component: Component,
    private readonly inputs: ReadonlyMap<string, InputMeta>,
    readonly outputName: string,
  ) {}

  /** @throws ModelFolderError when the graph does not load or wants what we cannot give */
  static async load(component: Component, path: string, device: DeviceOptions): Promise<Session> {
    let session: InferenceSession;
    try {
      session = await InferenceSession.create(path, {
        executionProviders: device.provider === 'cuda' ? [{ name: 'cuda', deviceId: 0 }, 'cpu'] : ['cpu'],
        intraOpNumThreads: device.threads,
        interOpNumThreads: 1,
        graphOptimizationLevel: 'all',
        logSeverityLevel: 3,
      });
    } catch (error) {
      throw new ModelFolderError(`${component}/model.onnx does not load: ${(error as Error).message}`);
    }
    const inputs = new Map<string, InputMeta>();
    for (const meta of session.inputMetadata) {
      if (!meta.isTensor) throw new ModelFolderError(`${component} has an input ${meta.name} that is not a tensor`);
      if (!dtypes.includes(meta.type)) {
        throw new ModelFolderError(
          `${component} wants its input ${meta.name} as ${meta.type}, which is not supported (supported: ${dtypes.join(', ')})`,
        );
      }
      inputs.set(meta.name, { type: meta.type as Dtype, shape: meta.shape });
    }
    const output = session.outputMetadata[0];
    if (!output?.isTensor || output.type !== 'float32') {
      throw new ModelFolderError(`${component}'s first output is not float32, which is not supported`);
    }
    return new Session(session, component, inputs, output.name);
  }

  /** Fails unless the graph's inputs are exactly these. Called once, at load. */
  expectInputs(names: readonly string[]): void {
    const missing = names.filter((name) => !this.inputs.has(name));
    const unknown = [...this.inputs.keys()].filter((name) => !names.includes(name));
    if (missing.length > 0) throw new ModelFolderError(`${this.component} has no input ${missing.join(', ')}`);
    if (unknown.length > 0)
      throw new ModelFolderError(`${this.component} wants an input that is not supported: ${unknown.join(', ')}`);
  }

  /** The declared shape of an input: numbers are fixed, names are free. */
  shapeOf(input: string): readonly (number | string)[] {
    return this.inputs.get(input)!.shape;
  }

  /** One model run. Blocks the process until it ends. */
  async run(feeds: Readonly<Record<string, Input>>): Promise<Output> {
    const tensors: Record<string, Tensor> = {};
    for (const [name, { data, dims }] of Object.entries(feeds)) {
      tensors[name] = toTensor(this.inputs.get(name)!.type, data, dims);
    }
    const start = performance.now();
    const results = await this.session.run(tensors);
    this.runMs += performance.now() - start;
    const output = results[this.outputName]!;
    return { data: output.data as Float32Array, dims: output.dims };
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

export type Sessions = Readonly<Record<Component, Session>>;

export async function loadSessions(
  graphs: Readonly<Record<Component, string>>,
  device: DeviceOptions,
): Promise<Sessions> {
  const loaded: Partial<Record<Component, Session>> = {};
  try {
    for (const component of components) loaded[component] = await Session.load(component, graphs[component], device);
    const sessions = loaded as Sessions;
    sessions.text_encoder.expectInputs(['input_ids']);
    sessions.unet.expectInputs(['sample', 'timestep', 'encoder_hidden_states']);
    sessions.vae_encoder.expectInputs(['sample']);
    sessions.vae_decoder.expectInputs(['latent_sample']);
    if (sessions.vae_encoder.outputName !== 'latent_parameters') {
      throw new ModelFolderError(
        `vae_encoder gives ${sessions.vae_encoder.outputName} instead of latent_parameters, so that its draw could not be seeded`,
      );
    }
    return sessions;
  } catch (error) {
    for (const session of Object.values(loaded)) await session.release();
    throw error;
  }
}

function toTensor(type: Dtype, data: Input['data'], dims: readonly number[]): Tensor {
  switch (type) {
    case 'float32':
      return new Tensor('float32', data instanceof Float32Array ? data : Float32Array.from(data), dims);
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
