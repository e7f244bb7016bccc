// JSON whose cost is known before it is parsed: what stands outside of strings is counted first, so that no body of many small
// things takes longer, or more memory, than its bytes. A picture in base64 is one string, whatever its size.

import type { FastifyInstance } from 'fastify';
import { Problem } from '../problems/problems.js';

/** Quotes, commas, colons and brackets of a body; bytes outside of its strings; how deep its lists and objects may lie. */
const most = { marks: 10_000, bytes: 262_144, depth: 32 };

/** Takes the place of Fastify's parser. */
export function parseBoundedJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const excess = excessOf(body as Buffer);
    if (excess) done(new Problem('invalid_request', `The body ${excess}.`));
    else parse(request, body.toString(), done);
  });
}

const quote = 0x22;
const backslash = 0x5c;
const counted = new Set([...',:'].map(codeOf));
const opening = new Set([...'[{'].map(codeOf));
const closing = new Set([...']}'].map(codeOf));

function codeOf(mark: string): number {
  return mark.charCodeAt(0);
}

/** @returns what is too much, as the end of a sentence */
export function excessOf(body: Buffer): string | undefined {
  let marks = 0;
  let depth = 0;
  let bytes = 0;
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]!;
    if (byte === quote) {
      // To the end of the string: the next quote that is not escaped.
      do {
        i = body.indexOf(quote, i + 1);
        marks++;
      } while (i >= 0 && marks <= most.marks && isEscaped(body, i));
      if (i < 0) return undefined; // cut off, which the parser says
    } else if (opening.has(byte)) {
      marks++;
      depth++;
    } else if (closing.has(byte)) depth--;
    else if (counted.has(byte)) marks++;
    bytes++;
    if (depth > most.depth) return `is nested deeper than ${most.depth} levels`;
    if (marks > most.marks)
      return `has too many fields and values: more than ${most.marks} quotes, commas and brackets`;
    if (bytes > most.bytes) return `has more than ${most.bytes} bytes outside of its strings`;
  }
  return undefined;
}

/** Whether an odd number of backslashes stands before it. */
function isEscaped(body: Buffer, position: number): boolean {
  let first = position;
  while (body[first - 1] === backslash) first--;
  return (position - first) % 2 === 1;
}
