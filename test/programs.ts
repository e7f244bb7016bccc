// Programs of Debian's that some tests drive, and packages of a folder's own. Without one a test skips with a plain message; under REQUIRE_PROGRAMS it fails.

import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * For a test's `skip` option: false where all programs are there, else the message.
 * @param programs names on the PATH, each with the Debian package that brings it where that has another name, or the command that installs it; or a path with that command
 * @throws Error under REQUIRE_PROGRAMS when one is missing
 */
export function missing(
  ...programs: readonly (
    | string
    | { program: string; package: string }
    | { program: string; install: string }
    | { path: string; install: string }
  )[]
): string | false {
  for (const entry of programs) {
    const wanted = typeof entry === 'string' ? { program: entry, package: entry } : entry;
    const [name, isThere] =
      'path' in wanted ? [wanted.path, existsSync(wanted.path)] : [wanted.program, isOnPath(wanted.program)];
    if (isThere) continue;
    const how = 'install' in wanted ? wanted.install : `Debian: apt-get install ${wanted.package}`;
    const message = `needs ${name} (${how})`;
    if (process.env.REQUIRE_PROGRAMS) throw new Error(message);
    return message;
  }
  return false;
}

function isOnPath(program: string): boolean {
  return `${process.env.PATH}${delimiter}/usr/sbin`.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
