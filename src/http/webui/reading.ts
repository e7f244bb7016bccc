// Values as AUTOMATIC1111's models (pydantic's) read them: numbers and booleans may be text, numbers may stand for text, and
// null and '' count as absent, at any depth.

import { isObject } from '../../is-object.js';

/** The part of a schema that says how its values are read. */
export interface Readable {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Readable>>;
  readonly items?: Readable;
  readonly enum?: readonly string[];
}

const truths = new Map([
  ...['true', '1', 'on', 't', 'y', 'yes'].map((text) => [text, true] as const),
  ...['false', '0', 'off', 'f', 'n', 'no'].map((text) => [text, false] as const),
]);

/** @returns undefined for what counts as absent; what cannot be read stays as it is, for the schema to refuse */
export function read(value: unknown, { type, properties = {}, items = {} }: Readable): unknown {
  if (value === null || value === '') return undefined;
  switch (type) {
    case 'integer':
    case 'number':
      return readNumber(value);
    case 'boolean':
      return readBoolean(value);
    case 'string':
      return typeof value === 'number' ? String(value) : value;
    case 'array':
      return Array.isArray(value) ? readList(value, items) : value;
    case 'object':
      if (isObject(value)) return readObject(value, properties);
      return Array.isArray(value) && value.length === 0 ? undefined : value; // how some languages write {}
    default:
      return value;
  }
}

const readList = (list: readonly unknown[], items: Readable) =>
  list.map((item) => read(item, items)).filter((item) => item !== undefined);

/** With what it has beyond the properties, as it is. */
function readObject(sent: Record<string, unknown>, properties: NonNullable<Readable['properties']>) {
  const known = Object.entries(sent).map(([name, value]) => {
    const schema = Object.hasOwn(properties, name) ? properties[name]! : {};
    return [name, read(value, schema)] as const;
  });
  return Object.fromEntries(known.filter(([, value]) => value !== undefined));
}

export const readBody = (body: Record<string, unknown>, { properties = {} }: Readable) => readObject(body, properties);

/** No number and no boolean is longer. */
const longest = 40;

/** A boolean is 0 or 1. */
export function readNumber(value: unknown): unknown {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value !== 'string' || value.length > longest || !/^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(value))
    return value;
  const number = Number(value);
  return Number.isFinite(number) ? number : value;
}

export function readBoolean(value: unknown): unknown {
  if (typeof value === 'number') return truths.get(String(value)) ?? value;
  if (typeof value !== 'string' || value.length > longest) return value;
  return truths.get(value.trim().toLowerCase()) ?? value;
}
