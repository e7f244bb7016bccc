// The subcommands: what each takes and does, and what it says of itself.

import { statfsSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { ModelFolderError } from '../pipeline/folder/model-folder-error.js';
import { exportModel } from './export.js';
import { findModel } from './find-model.js';
import { inspect } from './inspect.js';
import { list } from './list.js';
import { ModelsError } from './models-error.js';
import type { Output } from './output.js';
import { defaultEndpoint } from './pull/hub.js';
import { parseRepository } from './pull/names.js';
import { checkEndpoint, type Network } from './pull/network.js';
import { pull } from './pull/pull.js';
import { verify } from './verify.js';

export interface Surroundings {
  readonly modelsDir: string;
  /** HF_ENDPOINT */
  readonly endpoint: string | undefined;
  /** HF_TOKEN */
  readonly token: string | undefined;
  readonly output: Output;
  readonly signal: AbortSignal;
  readonly network: Pick<Network, 'stallMs' | 'patienceMs' | 'sleep'>;
  freeBytes?(folder: string): number;
}

type Options = NonNullable<ParseArgsConfig['options']>;
type Values = Readonly<Record<string, string | boolean | undefined>>;

interface Command {
  /** Names of what it takes; in brackets what may be left out. */
  readonly takes: readonly string[];
  readonly options: Options;
  /** Each line of `--help` below the usage. */
  readonly help: readonly string[];
  run(surroundings: Surroundings, given: readonly string[], values: Values): Promise<void> | void;
}

const json: Options = { json: { type: 'boolean' } };
const device: Options = { device: { type: 'string' } };
const jsonHelp = '  --json            for programs';
const deviceHelp = '  --device cuda     as a GPU would take it; cpu without a word';
const pathHelp = 'PATH is a path, or the name of a model in MODELS_DIR.';

export const commands: Readonly<Record<string, Command>> = {
  list: {
    takes: [],
    options: { ...json, ...device },
    help: ['What MODELS_DIR has: name, kind, size, and whether it runs, or why not.', '', jsonHelp, deviceHelp],
    run: ({ modelsDir, output }, _, values) => list(modelsDir, deviceOf(values), values.json === true, output),
  },
  inspect: {
    takes: ['PATH'],
    options: { ...json, ...device },
    help: [
      'All that is decided about a model, and what decided it; of one that cannot run, why not.',
      pathHelp,
      '',
      jsonHelp,
      deviceHelp,
    ],
    run: ({ modelsDir, output }, [path], values) =>
      inspect(findModel(modelsDir, path!), deviceOf(values), values.json === true, output),
  },
  pull: {
    takes: ['REPO[@REVISION]', '[FILE]'],
    options: { variant: { type: 'string' }, 'safety-checker': { type: 'boolean' } },
    help: [
      "Downloads a model from a hub into MODELS_DIR. REPO is org/name, a folder in diffusers' layout: it becomes org--name, with",
      'what the server needs of it. With FILE, one .safetensors file of REPO that is a whole model: it becomes org--name--FILE.',
      'A pull that was interrupted goes on where it ended. Every file is checked before the model gets its name.',
      '',
      '  --variant fp16    the weights of this variant, where a part has it',
      '  --safety-checker  with the safety checker of the folder, for SAFETY_CHECKER',
      '',
      `  HF_TOKEN          for gated and private repositories; it goes to the hub itself only`,
      '  HF_ENDPOINT       another hub',
    ],
    run: async (
      { modelsDir, endpoint, token, output, signal, network, freeBytes = freeOnDisk },
      [repo, file],
      values,
    ) => {
      const safetyChecker = values['safety-checker'] === true;
      if (safetyChecker && file !== undefined)
        throw new UsageError('--safety-checker is for folders; one FILE holds none');
      await pull({
        ...{ modelsDir, repository: parseRepository(repo!), file, output, freeBytes },
        variant: variantOf(values),
        safetyChecker,
        network: {
          ...network,
          ...{ token, signal },
          endpoint: checkEndpoint(endpoint ?? defaultEndpoint),
          tell: (line) => output.tell(line),
        },
      });
    },
  },
  verify: {
    takes: ['PATH'],
    options: {},
    help: [
      'Compares a model that was pulled with what the pull wrote down: tells what is missing, changed or extra.',
      pathHelp,
    ],
    run: ({ modelsDir, output, signal }, [path]) => verify(findModel(modelsDir, path!), signal, output),
  },
  export: {
    takes: ['PATH', 'OUT'],
    options: {},
    help: [
      'Writes a checkpoint as an ordinary ONNX folder, OUT: graphs with their weights beside them, configs, tokenizers.',
      'Weights keep their precision; the graphs compute in fp32, or in what `precision` in img2img.json says.',
      pathHelp,
    ],
    run: async ({ modelsDir, output, signal, freeBytes = freeOnDisk }, [path, out]) => {
      await exportModel({ path: findModel(modelsDir, path!), out: out!, freeBytes, signal, output });
    },
  },
};

/** @returns the exit status: 0, 1 for what failed, 2 for what was not understood */
export async function runModels(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { output } = surroundings;
  const [name = '--help', ...rest] = args;
  if (name === '--help' || name === '-h') {
    output.print(help);
    return args.length === 0 ? 2 : 0;
  }
  try {
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (!command)
      throw new UsageError(`there is no command ${JSON.stringify(name)} (known: ${Object.keys(commands).join(', ')})`);
    const { values, positionals } = parsed(name, command, rest);
    if (values.help) output.print(helpOf(name, command));
    else await command.run(surroundings, positionals, values);
    return 0;
  } catch (thrown) {
    const error = surroundings.signal.aborted ? surroundings.signal.reason : thrown;
    // What a disk refuses needs no stack.
    const known = error instanceof ModelsError || error instanceof ModelFolderError || 'syscall' in Object(error);
    output.tell(`models: ${known ? error.message : (error as Error).stack}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

class UsageError extends ModelsError {}

function parsed(name: string, { takes, options }: Command, args: readonly string[]) {
  const parse = () => {
    try {
      const help = { help: { type: 'boolean', short: 'h' } } as const;
      return parseArgs({ args: [...args], options: { ...options, ...help }, allowPositionals: true });
    } catch (error) {
      throw new UsageError(`${(error as Error).message.split('.')[0]}; see ${name} --help`);
    }
  };
  const { values, positionals } = parse();
  const least = takes.filter((each) => !each.startsWith('[')).length;
  const right = values.help === true || (positionals.length >= least && positionals.length <= takes.length);
  if (!right) {
    const told = takes.length === 0 ? 'nothing' : takes.join(' ');
    throw new UsageError(`${name} takes ${told}, and got ${positionals.length} of it; see ${name} --help`);
  }
  return { values: values as Values, positionals };
}

function deviceOf({ device = 'cpu' }: Values): 'cpu' | 'cuda' {
  if (device === 'cpu' || device === 'cuda') return device;
  throw new UsageError(`--device is ${JSON.stringify(device)}; it must be cpu or cuda`);
}

function variantOf({ variant }: Values): string | undefined {
  if (variant === undefined || /^\w{1,40}$/.test(String(variant))) return variant as string | undefined;
  throw new UsageError(`--variant is ${JSON.stringify(variant)}; it must be a word such as fp16`);
}

function freeOnDisk(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

const usageOf = (name: string, { takes }: Command) => ['models', name, ...takes].join(' ');
const helpOf = (name: string, command: Command) => [`${usageOf(name, command)}`, '', ...command.help].join('\n');

const help = [
  'Models of MODELS_DIR (./models without a word).',
  '',
  ...Object.entries(commands).map(
    ([name, command]) => `  ${usageOf(name, command).padEnd(40)}${command.help[0]!.split('. ')[0]!.split(':')[0]}`,
  ),
  '',
  'Each has --help.',
].join('\n');
