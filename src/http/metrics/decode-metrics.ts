// What decoding takes: the memory account and the pictures that wait for it.

import { Gauge, type Registry } from 'prom-client';
import type { PictureReader } from '../../image/host/picture-reader.js';

export function decodeMetrics(registry: Registry, reader: PictureReader): void {
  const registers = [registry];
  new Gauge({
    name: 'img2img_decode_bytes',
    help: 'Memory of MAX_DECODE_BYTES that is given to pictures being decoded.',
    registers,
    collect() {
      this.set(reader.status.bytes);
    },
  });
  new Gauge({
    name: 'img2img_decode_queue_depth',
    help: 'Pictures that wait to be decoded.',
    registers,
    collect() {
      this.set(reader.status.waiting);
    },
  });
}
