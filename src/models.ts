// The models command: node dist/models.js, or npm run models --. What it does is in models-command.

import { setTimeout } from 'node:timers/promises';
import { readModelsConfig } from './config.js';
import { runModels } from './models-command/commands.js';
import { ModelsError } from './models-command/models-error.js';
import type { Output } from './models-command/output.js';

const { stdout, stderr } = process;
const clearLine = '\r\x1b[2K';
const output: Output = {
  print: (text) => stdout.write(`${text}\n`),
  tell: (line) => stderr.write(`${stderr.isTTY ? clearLine : ''}${line}\n`),
  ...(stderr.isTTY && { replace: (line: string) => stderr.write(`${clearLine}${line.slice(0, stderr.columns - 1)}`) }),
};

// Whoever reads has read enough, as `head` does.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () =>
    stop.abort(new ModelsError(`stopped by ${signal}; a pull that is given again goes on from here`)),
  );
}

process.exitCode = await runModels(process.argv.slice(2), {
  ...readModelsConfig(),
  ...{ output, signal: stop.signal },
  network: {
    stallMs: 60_000,
    patienceMs: 300_000,
    sleep: (ms, signal) => setTimeout(ms, undefined, { signal }).catch(() => undefined),
  },
});
