// The two body forms -> one body of plain values, and beside it the bytes of the pictures. Validation comes after, the same for both.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type {} from '@fastify/multipart'; // its request methods
import type { FastifyRequest } from 'fastify';
import { fieldProblem, notAField, Problem } from '../problems/problems.js';
import type { Uploads } from './making.js';

declare module 'fastify' {
  interface FastifyRequest {
    pictures: Uploads;
  }
}

/** Where a body has a picture. */
export interface PictureSource {
  readonly slot: keyof Uploads;
  /** The form's part, the key in JSON. */
  readonly field: string;
  /** Another name of the part. The document is silent about it: generators of clients make the same name of both. */
  readonly alias?: string;
  /** Where in JSON it is not simply the key's value. */
  readonly inJson?: (body: Readonly<Record<string, unknown>>) => unknown;
}

/** JSON Schema types of the fields, by name. */
export type FieldTypes = Readonly<Record<string, { readonly type?: string }>>;

/**
 * Replaces request.body by plain values: numbers for the form's number fields, the pictures' bytes in request.pictures.
 * @param fields of the form; undefined for a route that takes JSON only
 * @param maxBytes of one picture
 * @param takesMore whether a form may have fields that are not among these: they are left as text
 */
export async function readBody(
  request: FastifyRequest,
  fields: FieldTypes | undefined,
  sources: readonly PictureSource[],
  maxBytes: number,
  takesMore = false,
): Promise<void> {
  request.pictures = {};
  if (fields && request.isMultipart()) return readForm(request, fields, sources, maxBytes, takesMore);
  const body = request.body;
  if (body === undefined) {
    const types = fields ? 'multipart/form-data or application/json' : 'application/json';
    throw new Problem('unsupported_media_type', `Send the request as ${types}.`);
  }
  if (typeof body !== 'object' || body === null) return;
  // As most clients mean it.
  for (const [name, value] of Object.entries(body)) if (value === null) delete (body as Record<string, unknown>)[name];
  for (const { slot, field, inJson } of sources) {
    const value = inJson ? inJson(body as Record<string, unknown>) : (body as Record<string, unknown>)[field];
    if (typeof value !== 'string') continue;
    request.pictures = { ...request.pictures, [slot]: await pictureFromBase64(field, value, maxBytes) };
    // The schema would count its characters one by one.
    if (!inJson && value !== '') (body as Record<string, unknown>)[field] = 'a picture';
  }
}

async function readForm(
  request: FastifyRequest,
  fields: FieldTypes,
  sources: readonly PictureSource[],
  maxBytes: number,
  takesMore: boolean,
): Promise<void> {
  const body: Record<string, unknown> = Object.create(null); // names are the client's
  const pictures: { -readonly [Slot in keyof Uploads]: Uploads[Slot] } = {};
  const seen = new Set<string>();
  try {
    // A filename is not mandatory (RFC 7578, 4.2): what a field is decides, as far as it can.
    const isPartAFile = (name: string | undefined, type: string | undefined, filename: string | undefined) =>
      filename !== undefined ||
      type === 'application/octet-stream' ||
      sources.some(({ field, alias }) => field === name || alias === name);
    for await (const part of request.parts({ isPartAFile })) {
      const source = sources.find(({ field, alias }) => field === part.fieldname || alias === part.fieldname);
      const field = source?.field ?? part.fieldname;
      const isKnown = source !== undefined || Object.hasOwn(fields, field);
      if (!isKnown && !takesMore) throw fieldProblem('invalid_request', field, `${field} ${notAField}.`);
      if (isKnown && seen.has(field)) throw fieldProblem('invalid_request', field, `${field} is there more than once.`);
      seen.add(field);
      if (part.type === 'file') {
        if (!source && isKnown)
          throw fieldProblem('invalid_request', field, `${field} is a file; it must be a text field.`);
        const bytes = await part.toBuffer().catch((error) => {
          if (error.code !== 'FST_REQ_FILE_TOO_LARGE') throw error;
          throw tooLarge(field, maxBytes);
        });
        // Forms send an unfilled file input as an empty file, and the try-it console as an empty text.
        if (bytes.length === 0 && !part.filename) continue;
        if (!source) {
          body[field] = part.filename ?? '';
          continue;
        }
        if (part.filename === undefined) refuseText(field, bytes);
        if (pictures[source.slot]) {
          const detail = `${source.slot} is there more than once; one picture is taken.`;
          throw fieldProblem('invalid_request', source.slot, detail);
        }
        pictures[source.slot] = bytes;
        body[source.slot] = part.filename ?? '';
      } else {
        if (part.valueTruncated && isKnown) throw fieldProblem('invalid_request', field, `${field} is too long.`);
        const value = coerce(String(part.value), fields[field]?.type);
        if (value !== undefined) body[field] = value;
      }
    }
  } catch (error) {
    // What is left of the body is read and dropped: a client that still sends would not see the answer otherwise.
    request.raw.unpipe();
    request.raw.resume();
    if (error instanceof Problem || (error as { statusCode?: number }).statusCode !== undefined) throw error;
    throw new Problem('invalid_request', `The multipart body is malformed: ${(error as Error).message}.`);
  }
  request.body = body;
  request.pictures = pictures;
}

/** A part without a filename may be a text that was meant otherwise; no picture begins with letters only. */
function refuseText(field: string, bytes: Buffer): void {
  const start = bytes.toString('latin1', 0, 100);
  if (!/^[\w+/=:.,;?&%-]+$/.test(start)) return;
  if (isAddress(start)) throw fieldProblem('invalid_request', field, addressSentence(field));
  throw fieldProblem('invalid_request', field, `${field} is a text field; it must be a file.`);
}

const isAddress = (text: string) => /^https?:/i.test(text);

const addressSentence = (field: string) =>
  `${field} is the address of a picture; nothing is fetched here: send the picture itself, as a file or in base64.`;

function tooLarge(field: string, maxBytes: number): Problem {
  return fieldProblem('upload_too_large', field, `${field} is too large; at most ${maxBytes} bytes are accepted.`);
}

/** As browsers, Python and shells write them. */
const booleans = new Map([
  ...['true', '1', 'on'].map((text) => [text, true] as const),
  ...['false', '0', 'off'].map((text) => [text, false] as const),
]);

/** Text of a form -> what its field is. An empty value counts as absent, as forms send it; what is no number stays text. */
export function coerce(text: string, type: string | undefined): string | number | boolean | undefined {
  if (text.trim() === '') return undefined;
  if (type === 'boolean') return booleans.get(text.trim().toLowerCase()) ?? text;
  if (type !== 'number' && type !== 'integer') return text;
  const number = /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
  return Number.isFinite(number) ? number : text;
}

/** Characters that are decoded at a time: a few milliseconds, after which others have their turn. A multiple of four. */
const chunkChars = 2 ** 21;

/** @param value base64, URL-safe or not, or a data: URI with it @throws Problem */
async function pictureFromBase64(field: string, value: string, maxBytes: number): Promise<Buffer> {
  if (isAddress(value.slice(0, 10))) throw fieldProblem('invalid_request', field, addressSentence(field));
  const start = /^data:[^,]{0,200};base64,/.exec(value)?.[0].length ?? 0;
  if (((value.length - start) / 4) * 3 > 1.1 * maxBytes + 64) throw tooLarge(field, maxBytes); // a tenth for line breaks
  const parts: Buffer[] = [];
  let rest = '';
  for (let position = start; position < value.length; position += chunkChars) {
    const chunk = rest + value.slice(position, position + chunkChars).replace(/\s+/g, '');
    const isLast = position + chunkChars >= value.length;
    const whole = isLast ? chunk.length : chunk.length - (chunk.length % 4);
    if (!(isLast ? /^[\w+/-]*={0,2}$/ : /^[\w+/-]*$/).test(chunk)) {
      const detail = `${field} must be a picture as base64 or as a data: URI with base64.`;
      throw fieldProblem('invalid_request', field, detail);
    }
    parts.push(Buffer.from(chunk.slice(0, whole), 'base64'));
    rest = chunk.slice(whole);
    if (!isLast) await nextTurn();
  }
  const bytes = Buffer.concat(parts);
  if (bytes.length > maxBytes) throw tooLarge(field, maxBytes);
  return bytes;
}
