// POST /img2img: the fields as they are -> pictures, in the form that Accept asks for.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { type Format, formats } from '../../image/encode.js';
import { problemResponses } from '../problems/problems.js';
import { negotiate, preferred } from '../server/negotiation.js';
import { between, bodyOf, formPictures, inForm, jsonPictures, schemasOf } from './bodies.js';
import type { PictureSource } from './body.js';
import { img2imgEvents } from './events.js';
import { exampleBody } from './example.js';
import type { Sent } from './fields.js';
import { eachSeed } from './parameters.js';
import { answerHeaders, dryRunSchema, MadeBody, madeBody, ranSchema } from './report.js';
import { type Kitchen, pictureRoute } from './route.js';
import type { Warning } from './warnings.js';

export const pictureTypes = formats.map((format) => `image/${format}` as const);

/** The parts and keys that hold pictures. */
export const pictureSources: readonly PictureSource[] = [
  { slot: 'image', field: 'image' },
  { slot: 'mask', field: 'mask' },
];

/** For the OpenAPI document: any of the picture formats. */
export const pictureContent = Object.fromEntries(
  pictureTypes.map((type) => [type, { schema: Type.String({ format: 'binary' }) }]),
);

const eventsDescription = [
  'Events, each with JSON as its data:',
  '`queued` (`position`, 0 when it runs at once, and `estimated_wait_ms`);',
  '`step` for each step (`index` of the picture, `step` of `steps`, and with `preview` a small `preview` picture: `b64_json`, `width`, `height`, `format`), of which a slow reader gets fewer;',
  '`image` for each picture (`index`, and what stands in `images` of the JSON answer);',
  '`done` (the JSON answer without `images`); or `error` (a problem document).',
  'Comments keep the line open. What is refused at once is an ordinary problem with its status.',
].join(' ');

export function img2imgRoute(app: FastifyInstance, kitchen: Kitchen): void {
  const { config, fields } = kitchen;
  const properties = schemasOf(fields, config);
  for (const schema of [ranSchema(fields, config), MadeBody, dryRunSchema(fields, config)]) app.addSchema(schema);
  pictureRoute<Sent>(app, kitchen, {
    path: '/img2img',
    about: {
      operationId: 'img2img',
      summary: 'One picture and a prompt in, one picture out',
      description:
        "Moves a starter picture towards the prompt. `influence` says how much of the starter stays, `guidance` how far the prompts pull. The answer's headers say what ran.",
      tags: ['Pictures'],
    },
    form: bodyOf(between(formPictures(config), inForm(properties))),
    json: bodyOf(between(jsonPictures, properties), exampleBody),
    pictures: pictureSources,
    success: {
      description:
        'The picture, or as JSON one or more of them. The headers tell the parameters that ran; `Img2img-Warnings` names what was changed or had no effect.',
      headers: answerHeaders(fields),
      content: {
        ...pictureContent,
        'application/json': { schema: Type.Union([Type.Ref('Made'), Type.Ref('DryRun')]) },
        'text/event-stream': { schema: Type.String({ description: eventsDescription }) },
      },
    },
    problems: problemResponses,
    negotiates: true,
    understand(sent, request) {
      const { n = 1, preview, dry_run: dryRun } = sent;
      const type = answerType(sent, request.headers.accept);
      const format = formatOf(sent, request);
      const previewed = type === 'text/event-stream' && config.SAFETY_CHECKER !== 'block';
      const warnings: Warning[] = preview && !previewed ? ['preview_unused'] : [];
      return {
        order: { bodies: eachSeed({ ...sent, format }, n, config.MAX_N), warnings },
        dryRun,
        preview,
        events: type === 'text/event-stream' ? () => img2imgEvents(request) : undefined,
        answer: (made) =>
          type === 'application/json' ? { body: madeBody(request.id, made) } : { body: made.pictures[0]!.bytes, type },
      };
    },
  });
}

/** The format of pictures: the field's, else what Accept prefers. */
export function formatOf({ format }: Sent, { headers }: FastifyRequest): Format {
  const accepted = preferred(headers.accept, pictureTypes);
  return format ?? formats.find((name) => `image/${name}` === accepted) ?? 'png';
}

/** How the answer comes, by Accept; a picture only where there is exactly one. */
function answerType({ n = 1, dry_run, format }: Sent, accept: string | undefined) {
  if (dry_run) return negotiate(accept, ['application/json'], ', because dry_run is true');
  if (n > 1) return negotiate(accept, ['application/json', 'text/event-stream'], `, because n is ${n}`);
  const type = negotiate(accept, [...pictureTypes, 'application/json', 'text/event-stream']);
  return type.startsWith('image/') && format ? (`image/${format}` as const) : type;
}
