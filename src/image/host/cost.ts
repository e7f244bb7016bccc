// What unpacking a picture takes, from what its header says. `npm run soak:pictures` measures it.

import type { Header } from '../shared/files/file.js';
import type { Size } from '../size.js';

/** Libraries, threads and rows, whatever the picture. */
const baseBytes = 32 * 1024 * 1024;
/** Per pixel of the output: sixteen bits of four samples, what they are turned and converted into, and the bytes that leave. */
const outputBytesPerPixel = 40;
/** Rows that are in work while a picture is resized. */
const rowsInWork = 256;
const bytesPerPixelInWork = 8;

export function decodeCost({ held, width, height }: Header, uploadBytes: number, size: Size): number {
  const rows = width * Math.min(height, rowsInWork) * bytesPerPixelInWork;
  return baseBytes + held + rows + 2 * uploadBytes + size.width * size.height * outputBytesPerPixel;
}
