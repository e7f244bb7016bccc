// Bare samples -> an uncompressed TIFF, which libvips reads with a profile, as CMYK or with transparency, as it does no raw bytes.
// Source: TIFF 6.0, sections 4, 6, 16 and 18; ICC.1:2022, B.2.

export interface Samples {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** Grey, RGB or CMYK, 8 bits each. */
  readonly colours: 1 | 3 | 4;
  /** Transparency as a last sample. */
  readonly alpha: boolean;
  readonly profile?: Buffer | undefined;
}

const short = 3;
const long = 4;
const undefinedType = 7;
const photometric = { 1: 1, 3: 2, 4: 5 } as const;

export function tiffOf({ data, width, height, colours, alpha, profile }: Samples): Buffer {
  const samples = colours + (alpha ? 1 : 0);
  const bits = Buffer.alloc(2 * samples);
  for (let i = 0; i < samples; i++) bits.writeUInt16LE(8, 2 * i);
  const entries: [tag: number, type: number, count: number, value: number | Buffer][] = [
    [256, long, 1, width],
    [257, long, 1, height],
    [258, short, samples, samples <= 2 ? bits.readUIntLE(0, bits.length) : bits],
    [259, short, 1, 1],
    [262, short, 1, photometric[colours]],
    [273, long, 1, 0], // where the samples begin: set below
    [277, short, 1, samples],
    [278, long, 1, height],
    [279, long, 1, data.length],
    ...(alpha ? ([[338, short, 1, 2]] as [number, number, number, number][]) : []),
    ...(profile ? ([[34675, undefinedType, profile.length, profile]] as [number, number, number, Buffer][]) : []),
  ];
  const directory = Buffer.alloc(8 + 2 + 12 * entries.length + 4);
  directory.write('II*\0', 'latin1');
  directory.writeUInt32LE(8, 4);
  directory.writeUInt16LE(entries.length, 8);
  const parts: Buffer[] = [];
  let end = directory.length;
  for (const [i, [tag, type, count, value]] of entries.entries()) {
    const at = 10 + 12 * i;
    directory.writeUInt16LE(tag, at);
    directory.writeUInt16LE(type, at + 2);
    directory.writeUInt32LE(count, at + 4);
    directory.writeUInt32LE(typeof value === 'number' ? value : end, at + 8);
    if (typeof value === 'number') continue;
    const padded = value.length % 2 === 0 ? value : Buffer.concat([value, Buffer.alloc(1)]);
    parts.push(padded);
    end += padded.length;
  }
  directory.writeUInt32LE(end, 10 + 12 * entries.findIndex(([tag]) => tag === 273) + 8);
  return Buffer.concat([directory, ...parts, data]);
}
