// Which picture format an Accept header asks for (RFC 9110, 12.5.1).

import { type Format, formats } from '../image/encode.js';

/**
 * The best of the formats, ties in their own order; undefined when none is acceptable.
 * @param accept the header; absent means anything
 */
export function acceptedFormat(accept: string | undefined): Format | undefined {
  const ranges = (accept ?? '*/*').split(',').map(parseRange);
  let best: { format: Format; q: number } | undefined;
  for (const format of formats) {
    // The most specific range that matches decides, be it a refusal.
    const matching = ['*/*', 'image/*', `image/${format}`].flatMap((type) =>
      ranges.filter((range) => range.type === type),
    );
    const q = matching.at(-1)?.q ?? 0;
    if (q > (best?.q ?? 0)) best = { format, q };
  }
  return best?.format;
}

function parseRange(range: string): { type: string; q: number } {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith('q='));
  const q = weight === undefined ? 1 : Number(weight.slice(2));
  return { type: type === '' ? '*/*' : type, q: Number.isFinite(q) ? q : 0 };
}
