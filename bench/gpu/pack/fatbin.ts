// A CUDA library without the code of other architectures. `.nv_fatbin` holds containers, each with an entry per architecture; the
// entries that cannot run are filled with zeros, which take no room in an archive. Nothing moves, so no address in the library changes.
// Layout: NVIDIA's fatbinary.h of the CUDA toolkit for the container; that of an entry as cuobjdump shows it.

const container = { magic: 0xba55ed50, headerBytes: 6, bytes: 8 };
const entry = { kind: 0, headerBytes: 4, bytes: 8, architecture: 28 };
const ptx = 1;

export interface Stripped {
  /** Bytes of code that were kept, and that became zeros. */
  readonly kept: number;
  readonly emptied: number;
  /** Of all entries, such as 75, 80, 90. */
  readonly architectures: readonly number[];
}

/**
 * Empties in place what cannot run on an architecture: machine code runs on its own generation, from its own number on; PTX, which
 * the driver compiles, on all later ones too.
 * @param library an ELF file of 64 bits, little-endian
 * @param architecture as `compute_cap` of nvidia-smi without its dot: 90
 * @throws Error where nothing in the library could run on it; nothing is changed then
 */
export function keepArchitecture(library: Buffer, architecture: number): Stripped {
  const entries = [...entriesOf(library)];
  const runs = (own: number, isPtx: boolean) =>
    own <= architecture && (isPtx || Math.floor(own / 10) === Math.floor(architecture / 10));
  const architectures = [...new Set(entries.map((one) => one.architecture))].sort((a, b) => a - b);
  if (entries.length > 0 && !entries.some((one) => runs(one.architecture, one.isPtx))) {
    throw new Error(`the library has code for ${architectures.join(', ')}, and none that runs on ${architecture}`);
  }
  let [kept, emptied] = [0, 0];
  for (const { start, end, architecture: own, isPtx } of entries) {
    if (runs(own, isPtx)) kept += end - start;
    else {
      library.fill(0, start, end);
      emptied += end - start;
    }
  }
  return { kept, emptied, architectures };
}

function* entriesOf(library: Buffer) {
  for (const section of sectionsOf(library)) {
    if (section.name !== '.nv_fatbin' && section.name !== '__nv_relfatbin') continue;
    let at = section.start;
    while (at + 16 <= section.end) {
      if (library.readUInt32LE(at) !== container.magic) {
        at += 8; // containers are aligned
        continue;
      }
      let place = at + library.readUInt16LE(at + container.headerBytes);
      const end = place + Number(library.readBigUInt64LE(at + container.bytes));
      if (end > section.end) throw new Error('a container of .nv_fatbin ends beyond its section');
      while (place < end) {
        const start = place + library.readUInt32LE(place + entry.headerBytes);
        const after = start + Number(library.readBigUInt64LE(place + entry.bytes));
        if (start <= place || after > end) throw new Error('an entry of .nv_fatbin ends beyond its container');
        yield {
          ...{ start, end: after, isPtx: library.readUInt16LE(place + entry.kind) === ptx },
          architecture: library.readUInt32LE(place + entry.architecture),
        };
        place = after;
      }
      at = end;
    }
  }
}

/** Of an ELF file: name, and where its bytes begin and end. */
function* sectionsOf(library: Buffer) {
  if (library.readUInt32BE(0) !== 0x7f454c46 || library[4] !== 2)
    throw new Error('the library is no ELF file of 64 bits');
  const table = Number(library.readBigUInt64LE(0x28));
  const [size, count, names] = [0x3a, 0x3c, 0x3e].map((at) => library.readUInt16LE(at)) as [number, number, number];
  const placeOf = (index: number) => Number(library.readBigUInt64LE(table + index * size + 0x18));
  for (let i = 0; i < count; i++) {
    const nameAt = placeOf(names) + library.readUInt32LE(table + i * size);
    const name = library.toString('latin1', nameAt, library.indexOf(0, nameAt));
    const start = placeOf(i);
    yield { name, start, end: start + Number(library.readBigUInt64LE(table + i * size + 0x20)) };
  }
}
