// npm run bench:scale: more of everything on the stand-in device: workers, models, idle connections, event streams. What do they cost
// the others, and what do they take of memory and file descriptors? Writes results-scale.md and .json. Reads /proc: Linux only.

import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { idleConnections } from './scale/connections.js';
import { manyModels } from './scale/models.js';
import { eventStreams } from './scale/streams.js';
import { manyWorkers } from './scale/workers.js';

const loadBefore = loadavg()[0]!;
const parts = [await manyWorkers(), await manyModels(), await idleConnections(), await eventStreams()];
const date = new Date().toISOString().slice(0, 10);
const machine = `${availableParallelism()} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}`;
const load = { before: loadBefore, after: loadavg()[0]! };

const table = (rows: readonly Readonly<Record<string, string | number>>[]) => {
  const titles = Object.keys(rows[0]!);
  const lines = rows.map((row) => `| ${titles.map((title) => row[title]).join(' | ')} |`);
  return [
    `| ${titles.join(' | ')} |`,
    `|${titles.map((_, i) => (i === 0 ? ' --- |' : ' ---: |')).join('')}`,
    ...lines,
  ].join('\n');
};
const text = `# Scale

\`npm run bench:scale\` on ${date}: ${machine}. Load average ${load.before.toFixed(1)} before and ${load.after.toFixed(1)} after.

The built service on the stand-in device with the small model of the tests; memory and file descriptors are those of the HTTP process where nothing else is said.

${parts.map(({ title, note, rows }) => `## ${title}\n\n${note}\n\n${table(rows)}`).join('\n\n')}
`;
writeFileSync(new URL('results-scale.md', import.meta.url), text);
writeFileSync(
  new URL('results-scale.json', import.meta.url),
  `${JSON.stringify({ date, machine, load, parts }, null, 2)}\n`,
);
console.log(text);
