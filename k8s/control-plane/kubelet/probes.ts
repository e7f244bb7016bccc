// Probes and hooks of a container, as its spec has them; the API server has filled in what the manifest left out.

import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Resource } from '../api.js';

/** Asks one probe until `signal`: `told` hears each time that enough answers in a row were the same. */
export async function probe(
  { initialDelaySeconds = 0, periodSeconds, timeoutSeconds, successThreshold, failureThreshold, httpGet }: Resource,
  container: Resource,
  address: string,
  signal: AbortSignal,
  told: (ok: boolean) => void,
): Promise<void> {
  if (!httpGet) throw new Error('Here a probe asks by HTTP.');
  let inRow = 0;
  let last: boolean | undefined;
  await pause(initialDelaySeconds, signal);
  while (!signal.aborted) {
    const ok = await answers(httpGet, container, address, timeoutSeconds, signal);
    if (signal.aborted) return;
    inRow = ok === last ? inRow + 1 : 1;
    last = ok;
    if (inRow >= (ok ? successThreshold : failureThreshold)) told(ok);
    await pause(periodSeconds, signal);
  }
}

/** Runs a hook until it has ended. */
export async function hook(
  { sleep: rest, httpGet }: Resource,
  container: Resource,
  address: string,
  signal: AbortSignal,
): Promise<void> {
  if (rest) await pause(rest.seconds, signal);
  else if (httpGet) await answers(httpGet, container, address, 30, signal);
  else throw new Error('Here a hook sleeps or asks by HTTP.');
}

function answers(
  { path, port, host }: Resource,
  container: Resource,
  address: string,
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<boolean> {
  const named = container.ports?.find((one: Resource) => one.name === port)?.containerPort;
  const url = `http://${host ?? address}:${named ?? port}${path}`;
  return new Promise((resolve) => {
    const within = AbortSignal.any([signal, AbortSignal.timeout(1000 * timeoutSeconds)]);
    // A connection of its own, as the kubelet's.
    const request = get(url, { signal: within, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode! >= 200 && response.statusCode! < 400);
    });
    request.once('error', () => resolve(false));
  });
}

/** Sleeps, or wakes at the signal. */
export async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  await sleep(1000 * seconds, undefined, { signal }).catch(() => undefined);
}
