// What is wrong with a JSON object by its schema, in sentences for the person who wrote it: settings of models and of generators.

import { Errors } from 'typebox/schema';
import { requirement, type SchemaError } from './requirement.js';

// biome-ignore lint/suspicious/noExplicitAny: what a file holds; each key is checked by the schema of its file
type Json = Record<string, any>;

/** Of one object's mistakes, how many are told. */
const maxMistakes = 3;

/**
 * @param schema of the keys that are read; null counts as absent
 * @returns of each mistake the key, the value and what it must be; none where there is none
 */
export function mistakesIn(value: Json, schema: object): string[] {
  const given = Object.fromEntries(Object.entries(value).filter(([, each]) => each !== null));
  const [valid, errors] = Errors(schema, given);
  if (valid) return [];
  const mistakes = new Set((errors as SchemaError[]).flatMap((error) => mistakesOf(error, given, schema)));
  return [...mistakes].slice(0, maxMistakes);
}

function mistakesOf(error: SchemaError, value: Json, schema: object): string[] {
  const path = error.instancePath.split('/').slice(1);
  if (error.keyword === 'boolean') return []; // says again what additionalProperties says
  if (error.keyword === 'additionalProperties') {
    const known = Object.keys(path.reduce((at: Json, key) => at.properties?.[key] ?? {}, schema).properties ?? {});
    return (error.params.additionalProperties as string[])
      .slice(0, maxMistakes)
      .map((key) => `${shown([...path, key].join('.'))} is not known (known: ${known.join(', ')})`);
  }
  if (error.keyword === 'required') {
    return (error.params.requiredProperties as string[]).map((key) => `${[...path, key].join('.')} is missing`);
  }
  const found = path.reduce((at: unknown, key) => (at as Json)?.[key], value);
  return [`${path.join('.')} is ${shown(found)}; it ${requirement(error)}`];
}

/** A value in a sentence: short, and never deep. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
