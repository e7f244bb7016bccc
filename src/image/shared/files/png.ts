// PNG: chunks. Source: W3C PNG (Third Edition), 5 and 11.

import { inflateSync } from 'node:zlib';
import { damaged } from '../picture-error.js';
import { codedColours, srgbPrimaries } from './coded-colours.js';
import { exifOrientation } from './exif.js';
import { type Chromaticities, type ColourDescription, Kept, maxParts, type PictureFile, tooManyParts } from './file.js';
import { maxProfileBytes, profileTooLarge } from './profile.js';

const signature = Buffer.from('89504e470d0a1a0a', 'hex');
const samplesOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 4, 4: 2, 6: 4 };
const pixels = new Set(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND']);
const told = new Set(['cICP', 'iCCP', 'sRGB', 'gAMA', 'cHRM', 'eXIf', 'acTL']);
/** A decoder's own value for sRGB; writers round it. */
const srgbGamma = { value: 45455, tolerance: 600 };

interface Chunk {
  readonly start: number;
  readonly end: number;
}

export function readPng(bytes: Buffer): PictureFile | undefined {
  if (!bytes.subarray(0, 8).equals(signature)) return undefined;
  if (bytes.length < 33 || bytes.toString('latin1', 12, 16) !== 'IHDR') throw damaged('a PNG without its header');
  const width = bytes.readUInt32BE(16);
  const height = bytes.readUInt32BE(20);
  const samples = samplesOf[bytes[25]!];
  if (width === 0 || height === 0 || samples === undefined) throw damaged('a PNG whose header is none');
  const interlaced = bytes[28] === 1;
  const facts = new Map<string, Buffer>();
  for (const [name, { start, end }] of chunks(bytes)) {
    if (told.has(name) && !facts.has(name)) facts.set(name, bytes.subarray(start + 8, end - 4));
  }
  const frames = facts.get('acTL');
  const exif = facts.get('eXIf');
  const compressed = facts.get('iCCP');
  return {
    format: 'png',
    width,
    height,
    orientation: exif ? exifOrientation(exif) : 1,
    animated: frames !== undefined && frames.length >= 4 && frames.readUInt32BE(0) > 1,
    held: interlaced ? width * height * Math.max(samples, 3) * (bytes[24] === 16 ? 2 : 1) : 0,
    essentials: () => essentials(bytes),
    ...(compressed && !facts.has('cICP') && { profile: () => profile(compressed) }),
    colours: coloursOf(facts),
  };
}

const nameOf = new Map([...pixels, ...told].map((name) => [Buffer.from(name, 'latin1').readUInt32BE(), name]));

/** Those of the names above; one that is cut off reaches to the end of the file. A million others cost a few steps each. */
function* chunks(bytes: Buffer): Generator<[name: string, chunk: Chunk]> {
  for (let start = 8, parts = 0; start + 8 <= bytes.length; ) {
    const end = start + 12 + bytes.readUInt32BE(start);
    const name = nameOf.get(bytes.readUInt32BE(start + 4));
    if (name !== undefined) {
      if (++parts > maxParts) throw tooManyParts();
      yield [name, { start, end: Math.min(end, bytes.length) }];
      if (name === 'IEND') return;
    }
    start = end;
  }
}

function essentials(bytes: Buffer): Buffer {
  const kept = new Kept(bytes);
  kept.keep(0, 8);
  for (const [name, { start, end }] of chunks(bytes)) {
    if (pixels.has(name) && (name !== 'IDAT' || end - start > 12)) kept.keep(start, end);
  }
  return kept.join();
}

/** A profile that cannot be unpacked counts as none, as it does to every viewer. */
function profile(chunk: Buffer): Buffer | undefined {
  const data = chunk.subarray(chunk.indexOf(0) + 2);
  try {
    return inflateSync(data, { maxOutputLength: maxProfileBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw profileTooLarge();
    return undefined;
  }
}

/** The order of precedence is the specification's: cICP, iCCP, sRGB, gAMA and cHRM. */
function coloursOf(facts: ReadonlyMap<string, Buffer>): ColourDescription | undefined {
  const coded = facts.get('cICP');
  if (coded && coded.length >= 4) return codedColours(coded[0]!, coded[1]!);
  if (facts.has('iCCP') || facts.has('sRGB')) return undefined;
  const gamma = facts.get('gAMA');
  const chromaticities = facts.get('cHRM');
  const power = gamma && gamma.length >= 4 ? gamma.readUInt32BE(0) : srgbGamma.value;
  const plainGamma = power === 0 || Math.abs(power - srgbGamma.value) <= srgbGamma.tolerance;
  const primaries = chromaticities && chromaticities.length >= 32 ? readPrimaries(chromaticities) : undefined;
  if (plainGamma && !primaries) return undefined;
  return { primaries: primaries ?? srgbPrimaries, transfer: plainGamma ? 'srgb' : { gamma: 100_000 / power } };
}

/** @returns undefined for sRGB's own, and for what spans no colours */
function readPrimaries(chunk: Buffer): Chromaticities | undefined {
  const xy = (i: number) => [chunk.readUInt32BE(8 * i) / 100_000, chunk.readUInt32BE(8 * i + 4) / 100_000] as const;
  const found = [xy(1), xy(2), xy(3), xy(0)] as const;
  const [[rx, ry], [gx, gy], [bx, by]] = found;
  const area = Math.abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)) / 2;
  if (area < 0.01 || found.some(([x, y]) => y <= 0 || x > 1 || y > 1)) return undefined;
  const same = found.every(([x, y], i) => Math.hypot(x - srgbPrimaries[i]![0], y - srgbPrimaries[i]![1]) < 0.002);
  return same ? undefined : found;
}
