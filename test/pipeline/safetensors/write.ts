// Safetensors files for tests.

import { writeFileSync } from 'node:fs';

export interface WrittenTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** A well-formed file. @returns its header, and where its data begins */
export function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, WrittenTensor>>,
  metadata?: Readonly<Record<string, string>>,
): void {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let position = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [position, position + data.length] };
    position += data.length;
  }
  writeHeader(path, JSON.stringify(header), Buffer.concat(Object.values(tensors).map(({ data }) => data)));
}

/** Any text as the header. @param length that the file says the header has */
export function writeHeader(
  path: string,
  header: string | Uint8Array,
  data: Uint8Array = new Uint8Array(),
  length?: bigint,
): void {
  const bytes = typeof header === 'string' ? Buffer.from(header) : header;
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(length ?? BigInt(bytes.length));
  writeFileSync(path, Buffer.concat([start, bytes, data]));
}
