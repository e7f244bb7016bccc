// PyPI's schemathesis as a second opinion. SCHEMATHESIS names the program: python3 -m venv V && V/bin/pip install schemathesis==4.32.5

import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { startApp } from '../start.js';

const program = process.env.SCHEMATHESIS;
const config = fileURLToPath(new URL('schemathesis.toml', import.meta.url));
const skip = !program && !process.env.REQUIRE_PROGRAMS && 'needs SCHEMATHESIS, the program of PyPI’s schemathesis';
const checks = 'not_a_server_error,status_code_conformance,content_type_conformance';
/** Its random part makes valid requests only: its invalid ones fail inside it for a form with files. */
const runs: [name: string, options: string[]][] = [
  ['what lies at the limits of the schemas, and beyond', ['--phases', 'examples,coverage']],
  ['random requests', ['--phases', 'fuzzing', '--mode', 'positive', '--max-examples', '30', '--max-time', '120']],
];

t.test('schemathesis finds no answer that is not documented', { skip }, async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference' });
  for (const [name, options] of runs) {
    const common = [
      '--checks',
      checks,
      '--seed',
      '1',
      '--no-color',
      '--request-timeout',
      '120',
      '--generation-database',
      'none',
    ];
    const args = ['--config-file', config, 'run', `${url}/openapi.json`, ...options, ...common];
    const { error, output } = await new Promise<{ error: Error | null; output: string }>((resolve) => {
      execFile(
        program ?? 'SCHEMATHESIS is not set',
        args,
        { cwd: tmpdir(), maxBuffer: 2 ** 26 },
        (error, stdout, stderr) => resolve({ error, output: stdout + stderr }),
      );
    });
    t.equal(error, null, error ? output.slice(-6000) : name);
    t.comment(/Test cases:\n.*/.exec(output)?.[0]);
  }
});
