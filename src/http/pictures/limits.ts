// The limits of the table of fields, held a last time before anything is settled: a path may translate its clients' words as it
// likes, and what it comes to is within what the engine was promised all the same.

import { Value } from 'typebox/value';
import type { Config } from '../../config.js';
import { requirement } from '../../requirement.js';
import { type FieldError, Problem, shown } from '../problems/problems.js';
import { schemasOf } from './bodies.js';
import type { FieldTable } from './field.js';

/** @returns what throws a Problem for a body with a value that its field's schema does not allow, NaN included */
export function limitsOf(table: FieldTable, config: Config): (body: Readonly<Record<string, unknown>>) => void {
  const schemas = Object.entries(schemasOf(table, config));
  return (body) => {
    const errors: FieldError[] = [];
    for (const [name, schema] of schemas) {
      const value = body[name];
      if (value === undefined || Value.Check(schema, value)) continue;
      const [error] = Value.Errors(schema, value);
      const found = typeof value === 'number' ? String(value) : shown(value);
      errors.push({ pointer: `#/${name}`, detail: `${name} is ${found}; it ${requirement(error!)}.` });
    }
    if (errors.length === 0) return;
    throw new Problem('invalid_request', errors.map(({ detail }) => detail).join(' '), { errors });
  };
}
