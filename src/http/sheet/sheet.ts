// POST /img2img/sheet: one request swept over one or two axes, answered as a labelled contact sheet or as JSON.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { between, bodyOf, formPictures, inForm, jsonPictures, schemasOf } from '../pictures/bodies.js';
import { exampleBody } from '../pictures/example.js';
import type { Sent } from '../pictures/fields.js';
import { formatOf, pictureContent, pictureSources, pictureTypes } from '../pictures/img2img.js';
import { eachSeed } from '../pictures/parameters.js';
import { sharedHeaders } from '../pictures/report.js';
import { type Kitchen, pictureRoute } from '../pictures/route.js';
import { problemResponses } from '../problems/problems.js';
import { negotiate } from '../server/negotiation.js';
import { SheetBody, sheetBody, sheetPicture } from './answer.js';
import { type AxesBody, axesFields, type Check, cellBodies, joinedValues, listedValues, readAxes } from './axes.js';

/** In the example it is the axis. */
const withoutExample = ({ examples: _, ...schema }: TSchema & { examples?: unknown }) =>
  Type.Optional(schema as TSchema);

const { influence: _, ...common } = exampleBody;
const exampleSheet = { ...common, x_field: 'influence', x_values: [0, 25, 50, 75] };

export function sheetRoute(app: FastifyInstance, kitchen: Kitchen): void {
  const { config, fields } = kitchen;
  const schemas = schemasOf(fields, config, ({ notInSheets }) => !notInSheets);
  const others = { ...schemas, influence: withoutExample(schemas.influence!) };
  const axes = (values: typeof joinedValues | typeof listedValues) => axesFields(fields, config, values);
  app.addSchema(SheetBody);
  pictureRoute<Sent & AxesBody>(app, kitchen, {
    path: '/img2img/sheet',
    about: {
      operationId: 'img2imgSheet',
      summary: 'A contact sheet: one request over a range of values',
      description:
        'Makes a picture for every value of an axis, or every pair of values of two, with everything else the same (the seed too). The answer is one labelled picture, or JSON with the single ones.',
      tags: ['Pictures'],
    },
    form: bodyOf(between(formPictures(config), { ...axes(joinedValues), ...inForm(others) })),
    json: bodyOf(between(jsonPictures, { ...axes(listedValues), ...others }), exampleSheet),
    pictures: pictureSources,
    success: {
      description: 'The contact sheet, or as JSON its pictures',
      headers: sharedHeaders,
      content: {
        ...pictureContent,
        'application/json': { schema: Type.Union([Type.Ref('Sheet'), Type.Ref('DryRun')]) },
      },
    },
    problems: problemResponses,
    negotiates: true,
    understand(body, request) {
      const offered = body.dry_run ? (['application/json'] as const) : ([...pictureTypes, 'application/json'] as const);
      const type = negotiate(request.headers.accept, offered);
      const format = formatOf(body, request);
      const { x, y } = readAxes(body, schemas, checkOf(request, schemas), config.MAX_SHEET_CELLS);
      const { x_field, x_values, y_field, y_values, ...common } = body;
      const [base] = eachSeed({ ...common, format }, 1, 1);
      return {
        order: { bodies: cellBodies(base!, x, y) },
        dryRun: body.dry_run,
        answer: async (made, plan) =>
          type === 'application/json'
            ? { body: sheetBody(request.id, made, x, y), sweeps: true }
            : { body: await sheetPicture(fields, made, plan, x, y), type: `image/${format}`, sweeps: true },
      };
    },
  });
}

/** By the fields' own schemas. */
function checkOf(request: FastifyRequest, schemas: Readonly<Record<string, object>>): Check {
  return (field, value) => {
    const validate = request.compileValidationSchema(schemas[field]!);
    return validate(value) ? [] : ((validate as { errors?: ReturnType<Check> }).errors ?? []);
  };
}
