// HEIF, the container of AVIF and HEIC: the boxes about the primary item. Sources: ISO/IEC 14496-12 (8.11), 23008-12 (6.5, 6.6).

import { damaged, PictureError } from '../picture-error.js';
import { codedColours } from './coded-colours.js';
import { type ColourDescription, type FileFormat, maxParts, type PictureFile, tooManyParts } from './file.js';
import { maxProfileBytes, profileTooLarge } from './profile.js';

const codecs: Readonly<Record<string, FileFormat>> = { av01: 'avif', hvc1: 'heic', hev1: 'heic' };
/** Items that carry no pixels, and can be packed or point at any bytes: their type is blotted out. */
const metadataItems = new Set(['Exif', 'mime', 'uri ']);
const blotted = 'skip';
const unreadable = 'The picture is a HEIF file of a kind that cannot be read; of these AVIF and HEIC are.';

interface Box {
  readonly type: string;
  /** Of its content. */
  readonly start: number;
  readonly end: number;
}

interface Meta {
  readonly primary: number;
  /** Type by item, and where it stands. */
  readonly items: ReadonlyMap<number, { readonly type: string; readonly at: number }>;
  readonly properties: readonly Box[];
  /** Indices into properties by item, from 1 on. */
  readonly associations: ReadonlyMap<number, readonly number[]>;
  /** Items that a derived one is made of. */
  readonly parts: ReadonlyMap<number, readonly number[]>;
}

export function readHeif(bytes: Buffer): PictureFile | undefined {
  if (bytes.length < 16 || bytes.toString('latin1', 4, 8) !== 'ftyp') return undefined;
  try {
    const meta = readMeta(bytes);
    if (!meta) throw damaged('a HEIF file without a picture');
    return describe(bytes, meta);
  } catch (error) {
    if (error instanceof RangeError) throw damaged('a box that ends before what is in it');
    throw error;
  }
}

function describe(bytes: Buffer, meta: Meta): PictureFile {
  const propertiesOf = (item: number) =>
    (meta.associations.get(item) ?? []).flatMap((index) => meta.properties[index - 1] ?? []);
  const areaOf = (item: number) => {
    const { width, height } = extent(bytes, propertiesOf(item)) ?? { width: 0, height: 0 };
    return width * height;
  };
  const own = propertiesOf(meta.primary);
  const parts = meta.parts.get(meta.primary) ?? [];
  const coded = [meta.primary, ...parts].map((item) => meta.items.get(item)?.type ?? '');
  const format = codecs[coded.find((type) => type in codecs) ?? ''];
  const size = sizeOf(bytes, own);
  if (!format) throw new PictureError('unsupported_picture', unreadable);
  if (!size) throw damaged('it has no size');
  // Every tile is unpacked in its own size, whatever the canvas is.
  const areas = new Map([...new Set(parts)].map((item) => [item, areaOf(item)])); // many may be one item
  const tileArea = parts.reduce((sum, item) => sum + areas.get(item)!, 0);
  const canvas = extent(bytes, own)!;
  const area = Math.max(canvas.width * canvas.height, tileArea);
  const deep = own.some(({ type, start }) => type === 'pixi' && (bytes[start + 5] ?? 8) > 8);
  const profile = own.find(({ type, start }) => type === 'colr' && isProfile(bytes, start));
  return {
    format,
    ...size,
    orientation: 1,
    animated: bytes.toString('latin1', 8, 12) === 'avis' || bytes.toString('latin1', 8, 12) === 'msf1',
    held: area * (format === 'heic' ? 16 : deep ? 25 : 18), // planes, their copies in other colours, and libvips' own
    deep,
    essentials: () => withoutMetadata(bytes, meta),
    ...(profile && { profile: () => profileOf(bytes, profile) }),
    ...(!profile && { colours: coloursOf(bytes, own) }),
  };
}

/** As its transformations leave it: cut to the clean aperture, then turned. */
function sizeOf(bytes: Buffer, properties: readonly Box[]): { width: number; height: number } | undefined {
  let size = extent(bytes, properties);
  if (!size || size.width === 0 || size.height === 0) return undefined;
  for (const { type, start } of properties) {
    if (type === 'clap') {
      const [width, height] = [0, 8].map((at) => bytes.readUInt32BE(start + at) / bytes.readUInt32BE(start + at + 4));
      if (!(width! >= 1 && height! >= 1 && width! <= size.width && height! <= size.height)) return undefined;
      size = { width: Math.round(width!), height: Math.round(height!) };
    }
    if (type === 'irot' && bytes[start]! % 2 === 1) size = { width: size.height, height: size.width };
  }
  return size;
}

function extent(bytes: Buffer, properties: readonly Box[]): { width: number; height: number } | undefined {
  const box = properties.find(({ type }) => type === 'ispe');
  return box && { width: bytes.readUInt32BE(box.start + 4), height: bytes.readUInt32BE(box.start + 8) };
}

const isProfile = (bytes: Buffer, start: number) =>
  ['prof', 'rICC'].includes(bytes.toString('latin1', start, start + 4));

function profileOf(bytes: Buffer, { start, end }: Box): Buffer {
  if (end - start > maxProfileBytes) throw profileTooLarge();
  return bytes.subarray(start + 4, end);
}

function coloursOf(bytes: Buffer, properties: readonly Box[]): ColourDescription | undefined {
  const box = properties.find(
    ({ type, start }) => type === 'colr' && bytes.toString('latin1', start, start + 4) === 'nclx',
  );
  return box && codedColours(bytes.readUInt16BE(box.start + 4), bytes.readUInt16BE(box.start + 6));
}

function withoutMetadata(bytes: Buffer, { items }: Meta): Buffer {
  const file = Buffer.from(bytes);
  for (const { type, at } of items.values()) if (metadataItems.has(type)) file.write(blotted, at, 'latin1');
  return file;
}

function readMeta(bytes: Buffer): Meta | undefined {
  const boxes = new Boxes(bytes);
  const meta = boxes.within(0, bytes.length).find(({ type }) => type === 'meta');
  if (!meta) return undefined;
  const inner = new Map(boxes.within(meta.start + 4, meta.end).map((box) => [box.type, box]));
  const [pitm, iinf, iprp, iref] = ['pitm', 'iinf', 'iprp', 'iref'].map((type) => inner.get(type));
  if (!pitm || !iinf || !iprp) return undefined;
  const propertyBoxes = boxes.within(iprp.start, iprp.end);
  const ipco = propertyBoxes.find(({ type }) => type === 'ipco');
  if (!ipco) return undefined;
  return {
    primary: bytes[pitm.start] === 0 ? bytes.readUInt16BE(pitm.start + 4) : bytes.readUInt32BE(pitm.start + 4),
    items: readItems(bytes, boxes.within(iinf.start + (bytes[iinf.start] === 0 ? 6 : 8), iinf.end)),
    properties: boxes.within(ipco.start, ipco.end),
    associations: readAssociations(
      bytes,
      propertyBoxes.find(({ type }) => type === 'ipma'),
    ),
    parts: iref ? readParts(bytes, boxes.within(iref.start + 4, iref.end), bytes[iref.start] === 0 ? 2 : 4) : new Map(),
  };
}

function readItems(bytes: Buffer, entries: readonly Box[]): Meta['items'] {
  const items = new Map<number, { type: string; at: number }>();
  for (const { type, start } of entries) {
    const version = bytes[start]!;
    if (type !== 'infe' || version < 2) continue;
    const idBytes = version === 2 ? 2 : 4;
    const at = start + 4 + idBytes + 2;
    items.set(bytes.readUIntBE(start + 4, idBytes), { type: bytes.toString('latin1', at, at + 4), at });
  }
  return items;
}

function readAssociations(bytes: Buffer, box: Box | undefined): Meta['associations'] {
  const associations = new Map<number, readonly number[]>();
  if (!box) return associations;
  const idBytes = bytes[box.start] === 0 ? 2 : 4;
  const wide = (bytes[box.start + 3]! & 1) === 1;
  let at = box.start + 8;
  let all = 0;
  for (let left = Math.min(bytes.readUInt32BE(box.start + 4), maxParts); left > 0 && at < box.end; left--) {
    const item = bytes.readUIntBE(at, idBytes);
    const count = bytes[at + idBytes]!;
    all += count;
    if (all > maxParts) throw tooManyParts();
    at += idBytes + 1;
    const read = (i: number) => (wide ? bytes.readUInt16BE(at + 2 * i) & 0x7fff : bytes[at + i]! & 0x7f);
    associations.set(
      item,
      Array.from({ length: count }, (_, i) => read(i)),
    );
    at += count * (wide ? 2 : 1);
  }
  return associations;
}

function readParts(bytes: Buffer, references: readonly Box[], idBytes: number): Meta['parts'] {
  const parts = new Map<number, readonly number[]>();
  let all = 0;
  for (const { type, start, end } of references) {
    if (type !== 'dimg') continue;
    const count = Math.min(bytes.readUInt16BE(start + idBytes), Math.floor((end - start) / idBytes));
    all += count;
    if (all > maxParts) throw tooManyParts();
    const read = (i: number) => bytes.readUIntBE(start + idBytes + 2 + i * idBytes, idBytes);
    parts.set(
      bytes.readUIntBE(start, idBytes),
      Array.from({ length: count }, (_, i) => read(i)),
    );
  }
  return parts;
}

/** Counts all boxes of a file. */
class Boxes {
  private parts = 0;

  constructor(private readonly bytes: Buffer) {}

  within(start: number, end: number): Box[] {
    const { bytes } = this;
    const found: Box[] = [];
    for (let at = start; at + 8 <= end; ) {
      if (++this.parts > maxParts) throw tooManyParts();
      const short = bytes.readUInt32BE(at);
      const head = short === 1 ? 16 : 8;
      const length = short === 1 ? Number(bytes.readBigUInt64BE(at + 8)) : short === 0 ? end - at : short;
      if (length < head) break;
      const boxEnd = Math.min(at + length, end);
      found.push({ type: bytes.toString('latin1', at + 4, at + 8), start: at + head, end: boxEnd });
      at += length;
    }
    return found;
  }
}
