import { residentMiB } from '../server.js';
import { type Part, picture, start, taken } from './service.js';

const seconds = 6;
/** Long enough that the device is what is waited for, as a GPU is. */
const callMs = 200;
const steps = 4;

/** Pictures a second, beside as many times those of one. */
export async function manyWorkers(): Promise<Part> {
  const rows = [];
  let one = 0;
  for (const count of [1, 2, 4, 8]) {
    const server = await start(callMs, { DEVICES: `cpu*${count}`, THREADS: '1' });
    const begin = performance.now();
    const over = () => performance.now() - begin > 1000 * seconds;
    let made = 0;
    const client = async (i: number) => {
      while (!over()) {
        await picture(server, { steps, seed: i });
        made++;
      }
    };
    await Promise.all(Array.from({ length: 2 * count }, (_, i) => client(i)));
    const perSecond = made / ((performance.now() - begin) / 1000);
    one ||= perSecond;
    rows.push({
      workers: count,
      'pictures a second': Number(perSecond.toFixed(2)),
      'of as many times one': Number((perSecond / one / count).toFixed(2)),
      'memory of a worker, MiB': Math.round(residentMiB(server.pids()[1]!)),
      ...taken(server),
    });
    await server.stop();
  }
  const note = `Two clients for each worker, ${steps} steps; a UNet call takes ${callMs} ms whatever else runs.`;
  return { title: 'Workers', note, rows };
}
