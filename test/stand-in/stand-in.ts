// The address of the stand-in device, for WORKER_MODULE.

import type { Costs } from './device.js';

/** @param costs what it pretends; nothing: what the CPU takes and has */
export function standIn(costs: Costs = {}): string {
  const address = new URL('device.js', import.meta.url);
  address.searchParams.set('costs', JSON.stringify(costs));
  return address.href;
}
