// Which of the offered media types an Accept header asks for (RFC 9110, 12.5.1).

import { Problem } from '../problems/problems.js';

/**
 * The best of the offered types, ties in their own order.
 * @param accept the header; absent means anything
 * @param why what keeps the other types from being offered, as the end of the problem's text
 * @throws Problem not_acceptable, with what is offered
 */
export function negotiate<T extends string>(accept: string | undefined, offered: readonly T[], why = ''): T {
  const best = preferred(accept, offered);
  if (best) return best;
  throw new Problem('not_acceptable', `Accept is ${JSON.stringify(accept)}; offered are: ${offered.join(', ')}${why}.`);
}

/** The same, with undefined when nothing is acceptable. */
export function preferred<T extends string>(accept: string | undefined, offered: readonly T[]): T | undefined {
  const ranges = (accept ?? '*/*').split(',').map(parseRange);
  let best: { type: T; q: number } | undefined;
  for (const type of offered) {
    // The most specific range that matches decides, be it a refusal.
    const matching = ['*/*', `${type.split('/')[0]}/*`, type].flatMap((range) =>
      ranges.filter((one) => one.type === range),
    );
    const q = matching.at(-1)?.q ?? 0;
    if (q > (best?.q ?? 0)) best = { type, q };
  }
  return best?.type;
}

function parseRange(range: string): { type: string; q: number } {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith('q='));
  const q = weight === undefined ? 1 : Number(weight.slice(2));
  return { type: type === '' ? '*/*' : type, q: Number.isFinite(q) ? q : 0 };
}
