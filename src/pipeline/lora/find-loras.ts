// What lies in LORAS_DIR: files by their names below it. Only what is in this list is ever opened.

import { type Dirent, existsSync, readdirSync, realpathSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileExtension } from '../checkpoint/file-names.js';
import { pickle, pickleRefusal } from '../safetensors/files.js';

export interface FoundLora {
  /** Below LORAS_DIR, with `/`, without `.safetensors`. */
  readonly name: string;
  readonly path: string;
  /** Why it is not to be opened, in a sentence without its end. */
  readonly refusal?: string;
}

const most = { files: 1000, depth: 4, nameLength: 200 } as const;

/** @returns in the names' order; none where there is no folder */
export function findLoras(lorasDir: string): FoundLora[] {
  if (!existsSync(lorasDir)) return [];
  const found: FoundLora[] = [];
  collect(realpathSync(lorasDir), '', 0, found);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, most.files);
}

/** What begins with a dot is somebody's own: a download's. Links to folders are not followed. */
function collect(root: string, below: string, depth: number, found: FoundLora[]): void {
  for (const entry of entriesOf(join(root, below))) {
    if (entry.name.startsWith('.') || found.length > most.files) continue;
    const file = below + entry.name;
    if (entry.isDirectory() && depth < most.depth) collect(root, `${file}/`, depth + 1, found);
    const isPickle = pickle.test(entry.name);
    if (entry.isDirectory() || !(isPickle || entry.name.endsWith(fileExtension))) continue;
    const name = isPickle ? file : file.slice(0, -fileExtension.length);
    const refusal = isPickle ? `it ${pickleRefusal}` : refusalOf(root, file, name);
    found.push({ name: name.slice(0, most.nameLength), path: join(root, file), ...(refusal && { refusal }) });
  }
}

function refusalOf(root: string, file: string, name: string): string | undefined {
  if (name.length > most.nameLength)
    return `its name has ${name.length} characters; at most ${most.nameLength} are taken`;
  try {
    return realpathSync(join(root, file)).startsWith(root + sep)
      ? undefined
      : 'it is a link that leaves the folder of LoRAs';
  } catch {
    return 'it is a link that leads nowhere';
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
