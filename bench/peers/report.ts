// The tables of results-peers.md.

import type { Outcome } from './measure.js';

export interface Result extends Outcome {
  readonly date: string;
  readonly machine: string;
  /** Average, of the machine. */
  readonly load: { readonly before: number; readonly after: number };
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;

export function report(results: readonly Result[]): string {
  return `# Beside what people would use instead

\`npm run bench:peers -- FOLDER\`; each table names its day and machine.

Every request has a starter, a prompt and a seed of its own. Alone, requests go to all in turns; under load each runs while the others rest. Start is from the process to its first ready answer, memory resident after all requests, of all its processes.

- **optimum**: optimum-onnx's pipeline behind FastAPI, one request at a time; **diffusers**: its pipeline on torch, the same; both on the folder that is named
- **sdcpp**: stable-diffusion.cpp's server, built for this processor (\`GGML_NATIVE\`), on the same single file as we
- paintbox is ONNX, which diffusers on torch does not load
- the random model has Stable Diffusion 1.5's shape, as one file in F16; the folders of the others are converted from it

${results.map(table).join('\n\n')}
`;
}

function table({ workload, measured, date, machine, load }: Result): string {
  const { name, side, steps, strength, guidance, scheduler, counts } = workload;
  const [ours] = measured;
  const lines = measured.map((one) => {
    const share = (value: number, best: number) => (value / best).toFixed(2);
    const alone = `${seconds(one.aloneMs.p50)} (${share(one.aloneMs.p50, ours!.aloneMs.p50)})`;
    const perSecond = one.perSecond ? `${one.perSecond.toFixed(2)} (${share(ours!.perSecond!, one.perSecond)})` : '';
    const again = one.againMs ? seconds(one.againMs) : '';
    const open = one.openMs ? seconds(one.openMs.p95) : '';
    const rest = [`${one.startSeconds.toFixed(1)} s`, `${Math.round(one.memoryMiB)} MiB`, `${one.installMb} MB`];
    return `| ${[one.peer, alone, seconds(one.aloneMs.p95), again, perSecond, open, ...rest].join(' | ')} |`;
  });
  return `## ${name}: ${side} x ${side}, ${steps} steps, ${scheduler}, strength ${strength}, guidance ${guidance}

Medians of ${counts.alone} alone${counts.again > 0 ? `, and of ${counts.again} with a starter and a prompt that were there just before` : ''}${counts.together > 0 ? `; ${counts.together} requests of ${counts.clients} clients` : ''}. In brackets how many times as long as ours it takes.

On ${date}: ${machine}. Load average ${load.before.toFixed(1)} before and ${load.after.toFixed(1)} after.

| | alone | p95 | again | pictures a second | p95 at 80 % of its capacity | start | memory | installed |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${lines.join('\n')}`;
}
