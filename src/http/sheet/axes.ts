// The axes of a contact sheet: which field takes which values, and what each picture's body comes to.

import { type TSchema, Type } from 'typebox';
import type { Config } from '../../config.js';
import { requirement, type SchemaError } from '../../requirement.js';
import { coerce } from '../pictures/body.js';
import type { FieldTable } from '../pictures/field.js';
import type { Sent } from '../pictures/fields.js';
import { fieldProblem, shown } from '../problems/problems.js';

export interface Axis {
  readonly field: string;
  readonly values: readonly (string | number)[];
}

export interface AxesBody {
  readonly x_field: string;
  /** In a form one text, with `|` between the values. */
  readonly x_values: Values;
  readonly y_field?: string;
  readonly y_values?: Values;
}

type Values = string | readonly (string | number)[];

/** Checks one value against its field's schema; the errors are ajv's. */
export type Check = (field: string, value: unknown) => readonly SchemaError[];

/** The schema of an axis' values. @param limits characters of one, and how many there may be */
type ValuesSchema = (
  description: string,
  limits: { readonly longest: number; readonly most: number },
  example?: readonly number[],
) => TSchema;

/** What a sheet's request has instead of fields that it does not take. @param values of an axis */
export function axesFields(table: FieldTable, config: Config, values: ValuesSchema) {
  const swept = Object.keys(table).filter((name) => table[name]!.swept);
  const lengths = swept.map((name) => (table[name]!.schema(config) as { maxLength?: number }).maxLength ?? 0);
  const limits = { longest: Math.max(...lengths), most: config.MAX_SHEET_CELLS };
  const field = (which: string, options = {}) =>
    Type.Enum(swept, { type: 'string', description: `What changes ${which}.`, ...options });
  return {
    x_field: field('from column to column', { examples: ['influence'] }),
    x_values: values(`Its values, at most ${limits.most} pictures in all.`, limits, [0, 25, 50, 75]),
    y_field: Type.Optional(field('from row to row; absent for a sheet of one row')),
    y_values: Type.Optional(values('Its values.', limits)),
  };
}

/** In a form. */
export const joinedValues: ValuesSchema = (description, { longest, most }, example) =>
  Type.String({
    minLength: 1,
    maxLength: most * (longest + 1),
    description: `${description} With \`|\` between them: \`0|25|50\`.`,
    ...(example && { examples: [example.join('|')] }),
  });

/** In JSON. */
export const listedValues: ValuesSchema = (description, { longest }, example) =>
  Type.Array(Type.Union([Type.Number(), Type.String({ maxLength: longest })]), {
    minItems: 1,
    description,
    ...(example && { examples: [example] }),
  });

/**
 * @param schemas of the fields that can be swept
 * @param maxCells pictures of one sheet
 * @throws Problem that names the value
 */
export function readAxes(
  body: AxesBody & Sent,
  schemas: Readonly<Record<string, TSchema>>,
  check: Check,
  maxCells: number,
): { x: Axis; y: Axis | undefined } {
  const read = (name: 'x' | 'y', field: string, values: Values) =>
    readAxis(name, field, values, body, (schemas[field] as { type?: string }).type, check);
  const x = read('x', body.x_field, body.x_values);
  if ((body.y_field === undefined) !== (body.y_values === undefined)) {
    const absent = body.y_field === undefined ? 'y_field' : 'y_values';
    throw fieldProblem('invalid_request', absent, `${absent} is missing: an axis has a field and values.`);
  }
  if (body.y_field === x.field) {
    throw fieldProblem('invalid_request', 'y_field', `y_field is ${x.field}, as x_field is; the axes must differ.`);
  }
  const y = body.y_field && body.y_values ? read('y', body.y_field, body.y_values) : undefined;
  const cells = x.values.length * (y?.values.length ?? 1);
  if (cells > maxCells) {
    throw fieldProblem(
      'invalid_request',
      y ? 'y_values' : 'x_values',
      `The sheet would have ${cells} pictures; at most ${maxCells} are made.`,
    );
  }
  return { x, y };
}

function readAxis(
  name: 'x' | 'y',
  field: string,
  values: Values,
  body: Readonly<Record<string, unknown>> | AxesBody,
  type: string | undefined,
  check: Check,
): Axis {
  const own = (body as Record<string, unknown>)[field];
  if (own !== undefined && own !== '') {
    throw fieldProblem('invalid_request', field, `${field} is the sheet's ${name} axis; leave the field out.`);
  }
  const given = typeof values === 'string' ? values.split('|').map((text) => text.trim()) : values;
  const read = given.map((one, i) => {
    const value = type?.includes('string')
      ? String(one)
      : typeof values === 'string'
        ? (coerce(String(one), type) ?? '')
        : one;
    const [error] = check(field, value);
    if (!error) return value as string | number;
    const detail = `Value ${i + 1} of ${name}_values is ${shown(value)}; as ${field} it ${requirement(error)}.`;
    throw fieldProblem('invalid_request', `${name}_values/${i}`, detail);
  });
  return { field, values: read };
}

/** One body per picture, row by row. @param base with a seed */
export function cellBodies(base: Sent, x: Axis, y: Axis | undefined): Sent[] {
  const rows = y ? y.values.map((value) => ({ ...base, [y.field]: value })) : [base];
  return rows.flatMap((row) => x.values.map((value) => ({ ...row, [x.field]: value })));
}
