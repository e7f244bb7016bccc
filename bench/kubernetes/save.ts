// Results into the repository: for tests, for people, and as a plot.

import { writeFileSync } from 'node:fs';
import { plotScaling } from './plot.js';
import { markdown } from './report.js';
import { json, type Results, readResults } from './results.js';

const slots = 4;

/** Adds a part, or puts it in the place of an older one. */
export function save(part: Results): void {
  const results = { ...readResults(), ...part };
  writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(new URL('../results-kubernetes.md', import.meta.url), markdown(results));
  if (results.hpa)
    writeFileSync(
      new URL('../../docs/autoscaling-kubernetes.svg', import.meta.url),
      plotScaling(results.hpa.samples, slots, 'The component hpa in a real control plane'),
    );
}
