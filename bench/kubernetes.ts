// npm run bench:kubernetes [-- losses|hpa] [-- requests]: what a real control plane does with the manifests under load: what clients
// lose while replicas come and go, and how the autoscaler follows a load (half an hour). Needs root, for the pods' addresses.
// Writes results-kubernetes.json (npm run format) and .md and docs/autoscaling-kubernetes.svg; ends with 1 when a limit is not kept.

import { drainDelayLosses, type Loss, shippedLosses } from './kubernetes/losses.js';
import { save, thisRun } from './kubernetes/results.js';
import { scaling } from './kubernetes/scaling.js';

// What was started ends with this process, and is removed.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const [part, wanted = '1000'] = process.argv.slice(2);
const parts: Readonly<Record<string, () => Promise<boolean>>> = { losses, hpa };
const chosen = part === undefined ? Object.values(parts) : [parts[part]];
let kept = true;
for (const run of chosen) {
  if (!run) throw new Error(`There is no part ${part}; there are ${Object.keys(parts).join(' and ')}.`);
  kept = (await run()) && kept;
}
process.exit(kept ? 0 : 1);

async function losses(): Promise<boolean> {
  const run = thisRun(['base', 'components/cuda', 'overlays/cuda']);
  const tell = (loss: Loss) => console.log(JSON.stringify(loss));
  const shipped = await shippedLosses(Number(wanted), tell);
  save({ losses: { ...run, shipped, drainDelay: [] } });
  // What the drain delay is for shows sooner.
  const drainDelay = await drainDelayLosses(Number(wanted) / 4, tell);
  save({ losses: { ...run, shipped, drainDelay } });
  const lost = ({ failed, changed }: Loss) => Object.values(failed).reduce((sum, count) => sum + count, 0) + changed;
  return [...shipped, drainDelay[0]!].every((loss) => lost(loss) === 0) && lost(drainDelay[1]!) > 0;
}

async function hpa(): Promise<boolean> {
  const run = thisRun(['base', 'components/cuda', 'components/hpa', 'overlays/hpa']);
  const outcome = await scaling('hpa', 40, (sample) => console.log(JSON.stringify(sample)));
  save({ hpa: { ...run, ...outcome } });
  return outcome.samples.some(({ ready }) => ready >= 4) && outcome.samples.at(-1)!.ready === 1;
}
