// The process of a worker, as the HTTP process holds it: what cannot even be started.

import type { ChildProcess } from 'node:child_process';
import t from 'tap';
import type * as WorkerProcessModule from '../../src/engine/host/worker-process.js';

t.test('a process that the system refuses at once is a worker that ended, and is tried again', async (t) => {
  let spawned = 0;
  const refuse = (): ChildProcess => {
    spawned++;
    throw Object.assign(new Error('spawn ENOMEM'), { code: 'ENOMEM' });
  };
  const { WorkerProcess } = await t.mockImport<typeof WorkerProcessModule>('../../src/engine/host/worker-process.js', {
    'node:child_process': { spawn: refuse },
  });
  const told: unknown[] = [];
  let worker: WorkerProcessModule.WorkerProcess | undefined;
  await new Promise<void>((resolve) => {
    worker = new WorkerProcess(
      { name: 'cpu', provider: 'cpu' } as WorkerProcessModule.WorkerProcess['device'],
      () => ({}) as never,
      {
        message: () => {},
        stderr: (line) => told.push(line),
        exit: (cause) => {
          told.push(cause);
          if (spawned === 2) resolve();
        },
      },
      1000,
    );
    worker.start();
    t.equal(worker.pid, undefined);
  });
  const cause = { reason: 'exit', detail: 'spawn ENOMEM' };
  t.strictSame(told, ['spawn ENOMEM', cause, 'spawn ENOMEM', cause]);
  t.equal(worker!.failedStarts, 2);
  await worker!.close();
});
