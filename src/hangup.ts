// SIGHUP: somebody asks for a look at the models, as servers are asked to read their configuration again; or the terminal that
// this process was started from was closed.

import { closeSync, openSync } from 'node:fs';

/** @param look is called when it is asked for; a closed terminal ends the process as Ctrl-C does */
export function onHangup(look: () => void): void {
  const started = hasTerminal();
  process.on('SIGHUP', () => {
    if (started && !hasTerminal()) process.kill(process.pid, 'SIGINT');
    else look();
  });
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}
