// JPEG: segments up to the picture's data. Sources: ITU-T T.81, annex B; ICC.1:2022, B.4.

import { damaged } from '../picture-error.js';
import { exifOrientation } from './exif.js';
import { Kept, maxParts, type PictureFile, tooManyParts } from './file.js';
import { maxProfileBytes, profileTooLarge } from './profile.js';

interface Frame {
  readonly progressive: boolean;
  readonly width: number;
  readonly height: number;
  readonly components: number;
  /** Samples of all components per pixel; 1.5 with halved colours. */
  readonly samples: number;
}

const jfif = 0xe0;
const exif = 0xe1;
const icc = 0xe2;
const adobe = 0xee;
const comment = 0xfe;
const startOfScan = 0xda;

export function readJpeg(bytes: Buffer): PictureFile | undefined {
  if (bytes.length < 2 || bytes.readUInt16BE(0) !== 0xffd8) return undefined;
  let frame: Frame | undefined;
  let orientation = 1;
  let whole = false;
  const profileParts: Buffer[] = [];
  const kept: [number, number][] = [];
  let scan = bytes.length;
  for (const { marker, start, end } of segments(bytes)) {
    const data = bytes.subarray(Math.min(start + 4, end), end);
    if (marker === startOfScan) {
      scan = start;
      whole = frame !== undefined && (frame.progressive || (data[0] ?? 0) < frame.components);
      break;
    }
    if (isFrame(marker)) frame ??= readFrame(marker, data);
    if (marker === exif && orientation === 1 && data.toString('latin1', 0, 4) === 'Exif') {
      orientation = exifOrientation(data);
    }
    if (marker === icc && data.toString('latin1', 0, 12) === 'ICC_PROFILE\0') profileParts.push(data);
    const isApplication = marker >= jfif && marker <= 0xef && marker !== jfif && marker !== adobe;
    if (!isApplication && marker !== comment) kept.push([start, end]);
  }
  if (!frame || frame.width === 0 || frame.height === 0) throw damaged('a JPEG without a size');
  const { width, height, samples } = frame;
  return {
    format: 'jpeg',
    width,
    height,
    orientation,
    animated: false,
    held: whole ? Math.ceil(width * height * samples * 2) : 0, // coefficients, two bytes each
    essentials: () => {
      const essential = new Kept(bytes);
      essential.keep(0, 2);
      for (const [start, end] of kept) essential.keep(start, end);
      essential.keep(scan, bytes.length);
      return essential.join();
    },
    ...(profileParts.length > 0 && { profile: () => joinProfile(profileParts) }),
  };
}

/** Up to the first scan, that one included. Stray bytes between segments are passed over, as libjpeg does. */
function* segments(bytes: Buffer): Generator<{ marker: number; start: number; end: number }> {
  for (let at = 2, parts = 0; ; ) {
    if (bytes[at] !== 0xff) at = bytes.indexOf(0xff, at);
    if (++parts > maxParts) throw tooManyParts();
    if (at < 0 || at + 4 > bytes.length) return;
    const marker = bytes[at + 1]!;
    if (marker === 0 || marker === 0xff || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker === 0xd9) return;
    const end = Math.min(at + 2 + Math.max(bytes.readUInt16BE(at + 2), 2), bytes.length);
    yield { marker, start: at, end };
    if (marker === startOfScan) return;
    at = end;
  }
}

/** SOF0 to SOF15, without DHT, JPG and DAC that lie between them. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readFrame(marker: number, data: Buffer): Frame | undefined {
  if (data.length < 6) return undefined;
  const components = data[5]!;
  const factors = Array.from({ length: components }, (_, i) => data[7 + 3 * i] ?? 0x11);
  const across = Math.max(1, ...factors.map((factor) => factor >> 4));
  const down = Math.max(1, ...factors.map((factor) => factor & 15));
  const samples = factors.reduce((sum, factor) => sum + ((factor >> 4) * (factor & 15)) / (across * down), 0);
  const progressive = ![0xc0, 0xc1].includes(marker);
  return { progressive, height: data.readUInt16BE(1), width: data.readUInt16BE(3), components, samples };
}

/** Its parts are numbered, and may come in any order. */
function joinProfile(parts: readonly Buffer[]): Buffer {
  const profile = Buffer.concat([...parts].sort((a, b) => a[12]! - b[12]!).map((part) => part.subarray(14)));
  if (profile.length > maxProfileBytes) throw profileTooLarge();
  return profile;
}
