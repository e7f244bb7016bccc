// The process of a worker, as the HTTP process holds it: what cannot even be started.

import childProcess from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import t from 'tap';
import { WorkerProcess } from '../../src/engine/host/worker-process.js';

t.test('a process that the system refuses at once is a worker that ended, and is tried again', async (t) => {
  let spawned = 0;
  t.intercept(childProcess, 'spawn', {
    value: () => {
      spawned++;
      throw Object.assign(new Error('spawn ENOMEM'), { code: 'ENOMEM' });
    },
  });
  syncBuiltinESMExports();
  const told: unknown[] = [];
  let worker: WorkerProcess | undefined;
  await new Promise<void>((resolve) => {
    worker = new WorkerProcess(
      { name: 'cpu', provider: 'cpu' } as WorkerProcess['device'],
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
