// Programs of Debian's that some tests drive. Without one a test skips with a plain message; under REQUIRE_PROGRAMS it fails.

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * For a test's `skip` option: false where all programs are there, else the message.
 * @param programs names on the PATH, each with the Debian package that brings it where that has another name, or the command that installs it
 * @throws Error under REQUIRE_PROGRAMS when one is missing
 */
export function missing(
  ...programs: readonly (string | { program: string; package: string } | { program: string; install: string })[]
): string | false {
  for (const entry of programs) {
    const wanted = typeof entry === 'string' ? { program: entry, package: entry } : entry;
    if (isOnPath(wanted.program)) continue;
    const how = 'install' in wanted ? wanted.install : `Debian: apt-get install ${wanted.package}`;
    const message = `needs ${wanted.program} (${how})`;
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
