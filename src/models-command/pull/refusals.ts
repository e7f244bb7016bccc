// What a hub's refusals mean, in sentences that say what to do.

import { ModelsError } from '../models-error.js';
import type { Repository } from './names.js';
import { type Answer, type Network, retryAfterMs, TryAgain } from './network.js';

/** @param what is asked for, such as `unet/config.json` of the repository; the repository itself if absent */
export function refusal(
  { response, fromHub, host }: Answer,
  { endpoint, token }: Pick<Network, 'endpoint' | 'token'>,
  { name, revision }: Repository,
  what?: string,
): ModelsError {
  const { status, headers } = response;
  const asked = what === undefined ? name : `${what} of ${name}`;
  if (status === 429) {
    const after = retryAfterMs(headers.get('retry-after'));
    const wish = after === undefined ? '' : `, and asks to wait ${Math.ceil(after / 1000)} s`;
    return new TryAgain(`${host} answered 429, too many requests${wish}`, after);
  }
  if (status >= 500)
    return new TryAgain(`${host} answered ${status} for ${asked}`, retryAfterMs(headers.get('retry-after')));
  if (!fromHub) return new TryAgain(`${host}, where the hub keeps its files, answered ${status} for ${asked}`);
  const page = `${endpoint}/${name}`;
  const code = headers.get('x-error-code');
  if (status === 401 || status === 403) {
    const gated = code === 'GatedRepo';
    const terms = `open ${page} in a browser and accept its terms`;
    if (token === undefined) {
      const why = gated ? 'is gated' : 'is gated, private or not there';
      return new ModelsError(
        `${name} ${why} (${status}): ${terms}, make a token at ${endpoint}/settings/tokens, and set HF_TOKEN to it`,
      );
    }
    if (status === 401 && !gated) {
      return new ModelsError(
        `the hub refuses HF_TOKEN for ${asked} (401): the token is wrong or has expired, or there is no ${name}`,
      );
    }
    return new ModelsError(`the account of HF_TOKEN may not read ${name} (${status}): ${terms}, with that account`);
  }
  if (status === 404) {
    if (code === 'RevisionNotFound') return new ModelsError(`${name} has no revision ${revision} (404)`);
    if (what !== undefined) return new ModelsError(`${name} has no file ${what} (404)`);
    return new ModelsError(`there is no ${name} at ${endpoint} (404), or no revision ${revision} of it`);
  }
  return new ModelsError(`${host} answered ${status} for ${asked}`);
}
