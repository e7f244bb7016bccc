// The entry of a process that decodes one picture at a time. It ends with its parent.

import type { FromDecoder, Task } from '../shared/messages.js';
import { PictureError } from '../shared/picture-error.js';
import { run } from './decode.js';
import { openLimiter } from './memory-limit.js';

const limit = openLimiter();
const send = (message: FromDecoder) => process.send!(message);

process.on('disconnect', () => process.exit());
process.on('message', async ({ work, memoryBytes, cpuSeconds }: Task) => {
  limit(memoryBytes, cpuSeconds);
  try {
    const result = await run(work);
    send({ type: 'decoded', result, memoryBytes: process.memoryUsage.rss() });
  } catch (error) {
    if (!(error instanceof PictureError)) throw error; // our fault: the process ends, and its last words say so
    send({ type: 'failed', code: error.code, message: error.message, memoryBytes: process.memoryUsage.rss() });
  }
});
send({ type: 'ready' });
