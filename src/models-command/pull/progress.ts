// How far a download is: a bar that moves on a terminal, a line for each tenth elsewhere.

import { inBytes, type Output } from '../output.js';

export interface FileProgress {
  /** So many bytes are on the disk. */
  at(bytes: number): void;
  /** All are, and their digest is computed. */
  checking(): void;
}

const barWidth = 24;
/** Between two looks of a bar. */
const frameMs = 100;

export function fileProgress(output: Output, name: string, bytes: number): FileProgress {
  const { replace, tell } = output;
  return replace ? bar(replace, name, bytes) : lines(tell, name, bytes);
}

function bar(replace: (line: string) => void, name: string, bytes: number): FileProgress {
  let drawn = 0;
  return {
    at(done) {
      const now = performance.now();
      if (now - drawn < frameMs && done < bytes) return;
      drawn = now;
      const full = bytes === 0 ? barWidth : Math.floor((barWidth * done) / bytes);
      replace(`[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] ${inBytes(done)} of ${inBytes(bytes)}  ${name}`);
    },
    checking: () => replace(`checking ${name}`),
  };
}

function lines(tell: (line: string) => void, name: string, bytes: number): FileProgress {
  let tenth: number | undefined;
  return {
    at(done) {
      const now = bytes === 0 ? 10 : Math.floor((10 * done) / bytes);
      if (now === tenth) return;
      const first = tenth === undefined;
      tenth = now;
      if (first || bytes > 10e6 || now === 10) tell(`${name}: ${inBytes(done)} of ${inBytes(bytes)}`);
    },
    checking: () => undefined,
  };
}
