// The command in this process, with what it writes.

import { runModels, type Surroundings } from '../../src/models-command/commands.js';

export interface Outcome {
  readonly status: number;
  readonly printed: string;
  readonly told: string;
  /** Pauses that it made, ms. */
  readonly slept: readonly number[];
}

export async function models(
  args: readonly string[],
  given: Partial<Omit<Surroundings, 'output'>> & Pick<Surroundings, 'modelsDir'>,
): Promise<Outcome> {
  const printed: string[] = [];
  const told: string[] = [];
  const slept: number[] = [];
  const status = await runModels(args, {
    ...{ endpoint: undefined, token: undefined, signal: new AbortController().signal },
    network: { stallMs: 500, patienceMs: 300_000, sleep: async (ms) => void slept.push(ms) },
    ...given,
    output: { print: (text) => printed.push(text), tell: (line) => told.push(line) },
  });
  return { status, slept, printed: printed.join('\n'), told: told.join('\n') };
}
