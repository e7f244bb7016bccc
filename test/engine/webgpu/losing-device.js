// A device that is lost once, while pictures of the prompt `lost` are decoded: a module for WORKER_MODULE, with the path of a file in
// its address that remembers it.

import { existsSync, writeFileSync } from 'node:fs';

/** @import { Device } from '../../../src/engine/worker/device.js' */

const marker = new URL(import.meta.url).searchParams.get('marker') ?? '';

/**
 * @param {Device} device
 * @returns {Device}
 */
export default function losing(device) {
  return {
    ...device,
    decode: async (model, generations) => {
      if (generations.some(({ request }) => request.prompt === 'lost') && !existsSync(marker)) {
        writeFileSync(marker, '');
        throw new Error('Failed to download data from buffer: [Device] is lost.');
      }
      return device.decode(model, generations);
    },
  };
}
