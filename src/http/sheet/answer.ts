// What POST /img2img/sheet answers: the pictures as JSON, or one labelled picture of them.

import { Type } from 'typebox';
import { contactSheet } from '../../image/contact-sheet.js';
import { encode } from '../../image/encode.js';
import type { FieldTable } from '../pictures/field.js';
import type { Made, Plan } from '../pictures/making.js';
import { imageBody, imageSchema, ranParameters, timingsOf, WarningBody } from '../pictures/report.js';
import { warningBodies } from '../pictures/warnings.js';
import type { Axis } from './axes.js';

const axis = Type.Object({ field: Type.String(), values: Type.Array(Type.Union([Type.Number(), Type.String()])) });

export const SheetBody = Type.Object(
  {
    id: Type.String(),
    created: Type.Integer({ description: 'Unix time in seconds' }),
    axes: Type.Object({ x: axis, y: Type.Optional(axis) }),
    cells: Type.Array(
      Type.Object({
        x: Type.Union([Type.Number(), Type.String()]),
        y: Type.Optional(Type.Union([Type.Number(), Type.String()])),
        ...imageSchema,
        parameters: Type.Ref('Ran'),
        warnings: Type.Array(WarningBody),
      }),
      { description: 'Row by row' },
    ),
    timings: Type.Record(Type.String(), Type.Number(), {
      description: 'Milliseconds per stage, as in `Server-Timing`',
    }),
    warnings: Type.Array(WarningBody, { description: 'Of all pictures, each once' }),
  },
  { $id: 'Sheet' },
);

export function sheetBody(id: string, made: Made, x: Axis, y: Axis | undefined) {
  const columns = x.values.length;
  return {
    id,
    created: Math.floor(Date.now() / 1000),
    axes: { x, ...(y && { y }) },
    cells: made.pictures.map((picture, i) => ({
      x: x.values[i % columns],
      ...(y && { y: y.values[Math.floor(i / columns)] }),
      ...imageBody(picture),
      parameters: ranParameters(picture.parameters, picture.result),
      warnings: warningBodies(picture.warnings, [picture]),
    })),
    timings: timingsOf(made),
    warnings: warningBodies(made.warnings, made.pictures),
  };
}

export async function sheetPicture(
  table: FieldTable,
  made: Made,
  plan: Plan,
  x: Axis,
  y: Axis | undefined,
): Promise<Buffer> {
  const pixels = await contactSheet({
    starter: plan.pictures[0]!.job.request.pixels,
    facts: captions(table, plan, [x.field, ...(y ? [y.field] : [])]),
    columns: titlesOf(x),
    rows: y && titlesOf(y),
    pictures: made.pictures.map(({ result }) => result.pixels),
  });
  const { values } = made.pictures[0]!.parameters;
  return encode(pixels, { ...values, source: 'compositeWithTrainedAlgorithmicMedia' });
}

const words = (field: string) => field.replaceAll('_', ' ');

const titlesOf = ({ field, values }: Axis) => ({ name: words(field), values: values.map(String) });

/** What the pictures have in common, without what the axes change. */
function captions(table: FieldTable, { pictures, starter }: Plan, swept: readonly string[]): string[] {
  const { values, size } = pictures[0]!.parameters;
  const all = values as Readonly<Record<string, unknown>>;
  const lines = Object.entries(table)
    .filter(([name, { told, caption }]) => (told || caption) && !swept.includes(name))
    .map(([name, { caption }]) => caption?.(all[name], all, swept) ?? `${words(name)} ${all[name]}`);
  return [...lines, `${size.width} x ${size.height}, of a starter of ${starter.width} x ${starter.height}`].filter(
    (line) => line !== '',
  );
}
