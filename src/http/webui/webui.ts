// /sdapi/v1: the API of AUTOMATIC1111's web UI as a translation. No state: options cannot be set, and tasks are gone with their answers.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Engine } from '../../engine/host/engine.js';
import { encodePreview } from '../../image/encode.js';
import type { ReadableTelemetry } from '../metrics/gpu-metrics.js';
import { ignoredFieldsHeader } from '../pictures/ignored-fields.js';
import { eachSeed } from '../pictures/parameters.js';
import { answerHeaders } from '../pictures/report.js';
import { type Kitchen, pictureRoute } from '../pictures/route.js';
import { fieldProblem, shown } from '../problems/problems.js';
import {
  webuiResponses as responses,
  WebuiError,
  WebuiMade,
  webuiInterrupted,
  webuiJson,
  webuiMade,
  webuiTags,
} from './answers.js';
import { longestTaskName, type WebuiBody, webuiBody, withoutEffect } from './fields.js';
import { fixedListRoutes } from './fixed-lists.js';
import { checkpointName, listRoutes } from './lists.js';
import { readBody, readBoolean } from './reading.js';
import { readRequest, webuiNames } from './request.js';
import { Tasks } from './tasks.js';

/** To be registered with the prefix /sdapi/v1. */
export function webuiRoutes(
  app: FastifyInstance,
  kitchen: Kitchen,
  engine: Engine,
  version: string,
  gpus: ReadableTelemetry | undefined,
): void {
  const { config, fields, shelf } = kitchen;
  const json = webuiBody(config);
  const tasks = new Tasks();
  for (const schema of [WebuiMade, WebuiError]) app.addSchema(schema);

  pictureRoute<WebuiBody>(app, kitchen, {
    path: '/img2img',
    about: {
      operationId: 'webuiImg2img',
      summary: "The web UI's img2img",
      description:
        "For clients of AUTOMATIC1111's web UI: its names, defaults and answers. The key, where keys are on, is the password. Scripts, and so ControlNet, are refused.",
      tags: webuiTags,
    },
    json,
    pictures: [
      {
        slot: 'image',
        field: 'init_images',
        inJson: ({ init_images }) => Array.isArray(init_images) && init_images[0],
      },
      { slot: 'mask', field: 'mask', inJson: ({ mask }) => mask },
    ],
    success: {
      description:
        'The pictures; none if the request was interrupted. One that is kept back (`SAFETY_CHECKER=block`) is black.',
      headers: { ...answerHeaders(fields), ...ignoredFieldsHeader },
      content: { 'application/json': { schema: Type.Ref('WebuiMade') } },
    },
    problems: responses,
    showsBlocked: true,
    tidy: (body) => readBody(body, json),
    understand(sent, { caller }) {
      const name = checkpointName(shelf, sent.override_settings?.sd_model_checkpoint);
      const takesImageGuidance = shelf.rulesOf(name)?.guidance === 'prompts_and_starter';
      const model = { name, generator: shelf.generator(name), takesImageGuidance };
      const asked = readRequest(sent, config.MAX_N, model);
      const task = tasks.begin(caller, sent.force_task_id, asked.n);
      return {
        order: {
          bodies: eachSeed(asked.body, asked.n, config.MAX_N),
          maskReading: asked.maskReading,
          warnings: asked.warnings,
        },
        names: webuiNames,
        preview: true,
        answer: (made) => ({ body: webuiMade(sent, made, { ...asked, version: `img2img-${version}` }) }),
        ignored: withoutEffect(sent, json.properties, takesImageGuidance),
        follower: {
          signal: task.signal,
          progress: (progress) => task.follow(progress),
          ended: () => webuiInterrupted(sent),
          close: () => tasks.end(task),
        },
      };
    },
  });

  const TaskQuery = Type.Object({
    id_task: Type.Optional(
      Type.String({
        maxLength: longestTaskName,
        description: 'The `force_task_id` of the request. Absent means any of the same key.',
      }),
    ),
  });
  app.get<{ Querystring: { id_task?: string; skip_current_image?: string } }>(
    '/progress',
    {
      schema: {
        operationId: 'webuiProgress',
        summary: 'How far a request is',
        description:
          "Of the newest request of the caller's key (or address, where keys are off) that runs on this replica: send it to the replica that has the request.",
        tags: webuiTags,
        querystring: Type.Object({
          ...TaskQuery.properties,
          skip_current_image: Type.Optional(
            Type.String({ maxLength: 10, default: 'false', description: '`true` leaves the preview out.' }),
          ),
        }),
        response: {
          ...webuiJson(
            'Zero where nothing runs',
            Type.Object({
              progress: Type.Number({ description: '0 to 1' }),
              eta_relative: Type.Number({ description: 'Seconds to the end' }),
              state: Type.Object({
                skipped: Type.Boolean(),
                interrupted: Type.Boolean(),
                stopping_generation: Type.Boolean(),
                job: Type.String({ description: "The task's name" }),
                job_count: Type.Integer(),
                job_timestamp: Type.String(),
                job_no: Type.Integer(),
                sampling_step: Type.Integer(),
                sampling_steps: Type.Integer(),
              }),
              current_image: Type.Union([Type.String(), Type.Null()], {
                description: 'A small preview, PNG in base64',
              }),
              textinfo: Type.Union([Type.String(), Type.Null()]),
            }),
          ),
          ...responses('invalid_request', 'unauthorized'),
        },
      },
    },
    async (request) => {
      const { skip_current_image = 'false', id_task } = request.query;
      const skips = skip_current_image !== '' && readBoolean(skip_current_image);
      if (typeof skips !== 'boolean') {
        const detail = `skip_current_image is ${shown(skip_current_image)}; it must be true or false.`;
        throw fieldProblem('invalid_request', 'skip_current_image', detail);
      }
      const [task] = tasks.of(callerOf(request), id_task || undefined);
      const preview = skips ? undefined : task?.preview;
      return {
        progress: task?.progress ?? 0,
        eta_relative: task?.eta ?? 0,
        state: {
          skipped: false,
          interrupted: task?.signal.aborted ?? false,
          stopping_generation: false,
          job: task?.id ?? '',
          job_count: task?.pictures ?? 0,
          job_timestamp: '0',
          job_no: task?.done ?? 0,
          sampling_step: task?.step ?? 0,
          sampling_steps: task?.steps ?? 0,
        },
        current_image: preview ? (await encodePreview(preview)).toString('base64') : null,
        textinfo: null,
      };
    },
  );

  const stop = (request: FastifyRequest<{ Querystring: { id_task?: string } }>) => {
    for (const task of tasks.of(callerOf(request), request.query.id_task || undefined)) task.interrupt();
  };
  app.post<{ Querystring: { id_task?: string } }>(
    '/interrupt',
    {
      config: { rateLimit: false },
      schema: {
        operationId: 'webuiInterrupt',
        summary: 'Stop a request',
        description:
          "Stops the requests of the caller's key (or address, where keys are off) on this replica, or only those with that task id. They answer without pictures.",
        tags: webuiTags,
        querystring: TaskQuery,
        response: {
          ...webuiJson('Done', Type.Object({})),
          ...responses('invalid_request', 'unauthorized', 'upload_too_large', 'unsupported_media_type'),
        },
      },
    },
    async (request) => {
      stop(request);
      return {};
    },
  );
  app.post<{ Querystring: { id_task?: string } }>(
    '/skip',
    {
      config: { rateLimit: false },
      schema: {
        operationId: 'webuiSkip',
        summary: 'Skip the pictures of a request',
        description: 'The same as `interrupt`: the pictures of a request are made together.',
        tags: webuiTags,
        querystring: TaskQuery,
        response: {
          ...webuiJson('null', Type.Unknown()),
          ...responses('invalid_request', 'unauthorized', 'upload_too_large', 'unsupported_media_type'),
        },
      },
    },
    async (request, reply) => {
      stop(request);
      return reply.type('application/json').send('null');
    },
  );

  listRoutes(app, shelf);
  fixedListRoutes(app, engine, gpus);
}

/** @throws Problem where others may be behind the same address, and the request does not name its task */
function callerOf({ caller, callerIsOne, query }: FastifyRequest): string {
  if (callerIsOne || (query as { id_task?: string }).id_task) return caller;
  const detail =
    'id_task is missing: this server cannot tell callers apart that come through a proxy (TRUST_PROXY, API_KEYS); send the force_task_id of the request.';
  throw fieldProblem('invalid_request', 'id_task', detail);
}
