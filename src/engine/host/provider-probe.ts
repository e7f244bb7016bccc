// Whether onnxruntime can run anything on a provider here. A process of its own finds out: loading onnxruntime, and a driver's library
// with it, is nothing for the HTTP process.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ExperimentalProvider } from '../../model-facts.js';

const timeoutMs = 30_000;

/** Blocks until that process has ended. @returns why it cannot, in a sentence without its end */
export function probeProvider(provider: ExperimentalProvider): string | undefined {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.')); // .ts under a loader, .js when compiled
  const entry = fileURLToPath(new URL(`../worker/probe${extension}`, import.meta.url));
  const { API_KEYS: _, ...environment } = process.env;
  const { stdout, status, signal, error } = spawnSync(process.execPath, [...process.execArgv, entry, provider], {
    encoding: 'utf8',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    env: { ...environment, ORT_DISABLE_TELEMETRY: '1' },
  });
  if (status === 0) return stdout === '' ? undefined : stdout;
  return `onnxruntime's ${provider} ends the process that tries it (${error?.message ?? signal ?? `exit code ${status}`})`;
}
