// The axes of a contact sheet: which field takes which values, and what each picture's body comes to.

import { requirement, type SchemaError } from '../../requirement.js';
import type { Img2ImgBody } from '../pictures/fields.js';
import { coerce } from '../pictures/upload.js';
import { fieldProblem, shown } from '../problems/problems.js';

/** Fields that a sheet can sweep. */
export const axisFields = [
  'strength',
  'influence',
  'guidance',
  'prompt',
  'negative_prompt',
  'seed',
  'steps',
  'scheduler',
  'model',
] as const;
export type AxisField = (typeof axisFields)[number];

export interface Axis {
  readonly field: AxisField;
  readonly values: readonly (string | number)[];
}

export interface AxesBody {
  readonly x_field: AxisField;
  /** In a form one text, with `|` between the values. */
  readonly x_values: Values;
  readonly y_field?: AxisField;
  readonly y_values?: Values;
}

type Values = string | readonly (string | number)[];

/** Checks one value against its field's schema; the errors are ajv's. */
export type Check = (field: AxisField, value: unknown) => readonly SchemaError[];

/**
 * @param maxCells pictures of one sheet
 * @throws Problem that names the value
 */
export function readAxes(
  body: AxesBody & Img2ImgBody,
  check: Check,
  maxCells: number,
): { x: Axis; y: Axis | undefined } {
  const x = readAxis('x', body.x_field, body.x_values, body, check);
  if ((body.y_field === undefined) !== (body.y_values === undefined)) {
    const absent = body.y_field === undefined ? 'y_field' : 'y_values';
    throw fieldProblem('invalid_request', absent, `${absent} is missing: an axis has a field and values.`);
  }
  if (body.y_field === x.field) {
    throw fieldProblem('invalid_request', 'y_field', `y_field is ${x.field}, as x_field is; the axes must differ.`);
  }
  const y = body.y_field && body.y_values ? readAxis('y', body.y_field, body.y_values, body, check) : undefined;
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

function readAxis(name: 'x' | 'y', field: AxisField, values: Values, body: Img2ImgBody, check: Check): Axis {
  // An empty prompt is the schema's default.
  if (body[field] !== undefined && body[field] !== '') {
    throw fieldProblem('invalid_request', field, `${field} is the sheet's ${name} axis; leave the field out.`);
  }
  const isText = field === 'prompt' || field === 'negative_prompt' || field === 'model';
  const given = typeof values === 'string' ? values.split('|').map((text) => text.trim()) : values;
  const read = given.map((one, i) => {
    const value = isText ? String(one) : typeof values === 'string' ? (coerce(String(one), 'number') ?? '') : one;
    const [error] = check(field, value);
    if (!error) return value as string | number;
    const detail = `Value ${i + 1} of ${name}_values is ${shown(value)}; as ${field} it ${requirement(error)}.`;
    throw fieldProblem('invalid_request', `${name}_values/${i}`, detail);
  });
  return { field, values: read };
}

/** One body per picture, row by row. @param base with a seed */
export function cellBodies(base: Img2ImgBody, x: Axis, y: Axis | undefined): Img2ImgBody[] {
  const rows = y ? y.values.map((value) => ({ ...base, [y.field]: value })) : [base];
  return rows.flatMap((row) => x.values.map((value) => ({ ...row, [x.field]: value })));
}
