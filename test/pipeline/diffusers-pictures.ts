// What holds for every family: a request's picture is diffusers', and beside others it is the same to the byte.

import type { Test } from 'tap';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { canShareCall, prepare } from '../../src/pipeline/img2img.js';
import type { Model } from '../../src/pipeline/model.js';
import { type Case, closeShare, differencesFrom, generate, maskedRequestOf } from './cases.js';

export async function picture(model: Model, request: Img2ImgRequest): Promise<Uint8Array> {
  return (await generate(model, [request]))[0]!.pixels.data;
}

/** @param least of the cases have one size and run together */
export async function makesDiffusersPictures(t: Test, model: Model, cases: readonly Case[], least = 2): Promise<void> {
  t.equal(cases.length, 10);
  const bySize = new Map<string, Map<Img2ImgRequest, Uint8Array>>();
  for (const c of cases) {
    const request = maskedRequestOf(c);
    const data = await picture(model, request);
    const off = differencesFrom(c.pixels, data, request);
    t.ok(
      closeShare(off) >= 0.999,
      `${c.scheduler} ${c.prompt.slice(0, 20)}, seed ${c.seed}: at most ${Math.max(...off)}`,
    );
    const size = `${request.pixels.width} x ${request.pixels.height}`;
    bySize.set(size, new Map([...(bySize.get(size) ?? []), [request, data]]));
  }
  t.ok(Math.max(...[...bySize.values()].map(({ size }) => size)) >= least, `${least} of one size`);
  for (const [size, alone] of bySize) {
    const requests = [...alone.keys()];
    if (requests.length < 2) continue;
    const generations = await prepare(model, requests);
    t.ok(canShareCall(model, generations[0]!, generations[1]!), `${size}, whatever their timesteps`);
    const together = await generate(model, requests);
    for (const [i, { pixels }] of together.entries()) t.strictSame(pixels.data, alone.get(requests[i]!));
  }
}
