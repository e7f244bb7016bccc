// npm run bench:kubernetes [-- gateway|placement|losses|drain|hpa|keda] [-- requests]: what a real control plane does with the
// manifests: what Envoy is told, where replicas are put, what clients lose while they come and go, and without the drain delay (half
// an hour), how the autoscaler follows a load, and beside it how KEDA lets the fleet fall asleep and wakes it (half an hour both).
// Needs root, for the pods' addresses.
// Writes results-kubernetes.json (npm run format) and .md and docs/autoscaling-kubernetes.svg; ends with 1 when a limit is not kept.

import { buildProgram, pathOf } from '../k8s/control-plane/programs.js';
import { isAsWanted, translation } from './kubernetes/gateway.js';
import { drainDelayLosses, type Loss, shippedLosses } from './kubernetes/losses.js';
import { placements } from './kubernetes/placement.js';
import { type Program, thisRun } from './kubernetes/results.js';
import { save } from './kubernetes/save.js';
import { scaling } from './kubernetes/scaling.js';
import { sleeping } from './kubernetes/sleeping.js';

// What was started ends with this process, and is removed.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const programs: readonly Program[] = ['Kubernetes', 'etcd', 'HAProxy', 'Prometheus', 'kustomize'];
const ofLosses = () => thisRun(['base', 'components/cuda', 'overlays/cuda'], programs);
const tell = (loss: Loss) => console.log(JSON.stringify(loss));
const lost = ({ failed, changed }: Loss) => Object.values(failed).reduce((sum, count) => sum + count, 0) + changed;
const [part, wanted = '1000'] = process.argv.slice(2);
const parts: Readonly<Record<string, () => Promise<boolean>>> = { gateway, placement, losses, drain, hpa, keda };
let kept: boolean[];
if (part !== undefined) {
  const run = parts[part];
  if (!run) throw new Error(`There is no part ${part}; there are ${Object.keys(parts).join(' and ')}.`);
  kept = [await run()];
} else {
  kept = [await gateway(), await placement(), await losses(), await drain()];
  // Two clusters of their own that wait most of the time.
  kept.push(...(await Promise.all([hpa(), keda()])));
}
process.exit(kept.every(Boolean) ? 0 : 1);

async function gateway(): Promise<boolean> {
  buildProgram('egctl');
  const components = ['cuda', 'keda', 'gateway'].map((component) => `components/${component}`);
  const run = thisRun(['base', ...components, 'overlays/gateway'], ['Envoy Gateway', 'kustomize']);
  const told = translation(pathOf('egctl'));
  save({ gateway: { ...run, told } });
  return told.every(isAsWanted);
}

async function placement(): Promise<boolean> {
  const overlays = ['cuda', 'mig', 'cpu'];
  const folders = overlays.map((overlay) => `overlays/${overlay}`);
  const run = thisRun(['base', 'components/cuda', 'components/cpu', ...folders], ['Kubernetes', 'etcd', 'kustomize']);
  const outcome = await placements((placement) => console.log(JSON.stringify(placement)));
  save({ placement: { ...run, placements: outcome } });
  return outcome.every(
    ({ replicas, placed, pending }) =>
      pending.length === 1 && Object.values(placed).reduce((sum, count) => sum + count, 0) === replicas - 1,
  );
}

async function losses(): Promise<boolean> {
  const run = ofLosses();
  const shipped = await shippedLosses(Number(wanted), tell);
  save({ losses: { ...run, shipped } });
  return shipped.every((loss) => lost(loss) === 0);
}

async function drain(): Promise<boolean> {
  const run = ofLosses();
  // What it is for shows soon.
  const rollouts = await drainDelayLosses(Number(wanted) / 4, tell);
  save({ drain: { ...run, rollouts } });
  return lost(rollouts[0]!) === 0 && lost(rollouts[1]!) > 0;
}

async function hpa(): Promise<boolean> {
  const run = thisRun(['base', 'components/cuda', 'components/hpa', 'overlays/hpa'], programs);
  const outcome = await scaling('hpa', 40, (sample) => console.log(JSON.stringify(sample)));
  save({ hpa: { ...run, ...outcome } });
  return outcome.samples.some(({ ready }) => ready >= 4) && outcome.samples.at(-1)!.ready === 1;
}

async function keda(): Promise<boolean> {
  const components = ['cuda', 'keda', 'scale-to-zero'].map((component) => `components/${component}`);
  const run = thisRun(['base', ...components, 'overlays/scale-to-zero'], [...programs, 'KEDA']);
  const outcome = await sleeping((line) => console.log(JSON.stringify(line)));
  save({ keda: { ...run, ...outcome } });
  return outcome.wakes.length === 2 && Object.keys(outcome.away.failed).length === 0;
}
