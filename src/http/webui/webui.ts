// /sdapi/v1: the API of AUTOMATIC1111's web UI as a translation. No state: options cannot be set, and tasks are gone with their answers.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../../config.js';
import type { Engine } from '../../engine/host/engine.js';
import { encodePreview } from '../../image/encode.js';
import { makingProblems, type PictureMaker } from '../pictures/generation.js';
import { ignoredFieldsHeader, writeIgnoredFields } from '../pictures/ignored-fields.js';
import { sendJson } from '../pictures/img2img.js';
import { eachSeed } from '../pictures/parameters.js';
import { answerHeaders, writeHeaders } from '../pictures/report.js';
import { pictureFromBase64 } from '../pictures/upload.js';
import { Problem } from '../problems/problems.js';
import { deadlineSignal, timeoutHeader } from '../server/deadline.js';
import type { UploadBudget } from '../server/upload-budget.js';
import {
  webuiJson as json,
  webuiResponses as responses,
  WebuiError,
  WebuiMade,
  webuiInterrupted,
  webuiMade,
  webuiTags,
} from './answers.js';
import { type WebuiBody, webuiBody, withoutEffect } from './fields.js';
import { checkpointName, listRoutes } from './lists.js';
import { readRequest } from './request.js';
import { Task, Tasks } from './tasks.js';

export interface WebuiOptions {
  readonly config: Config;
  readonly engine: Engine;
  readonly maker: PictureMaker;
  readonly budget: UploadBudget;
  readonly version: string;
}

/** To be registered with the prefix /sdapi/v1. */
export function webuiRoutes(app: FastifyInstance, { config, engine, maker, budget, version }: WebuiOptions): void {
  const body = webuiBody(config);
  const tasks = new Tasks();
  for (const schema of [WebuiMade, WebuiError]) app.addSchema(schema);

  app.post<{ Body: WebuiBody }>(
    '/img2img',
    {
      schema: {
        operationId: 'webuiImg2img',
        summary: "The web UI's img2img",
        description:
          "For clients of AUTOMATIC1111's web UI: its names, defaults and answers. The key, where keys are on, is the password. Scripts, and so ControlNet, are refused.",
        tags: webuiTags,
        headers: Type.Object(timeoutHeader),
        body: { content: { 'application/json': { schema: body } } },
        response: {
          200: {
            description: 'The pictures; none if the request was interrupted.',
            headers: { ...answerHeaders, ...ignoredFieldsHeader },
            content: { 'application/json': { schema: Type.Ref('WebuiMade') } },
          },
          ...responses('invalid_request', 'unauthorized', 'unsupported_media_type', 'rate_limited', ...makingProblems),
        },
      },
      onRequest: budget,
      preValidation: async (request, reply) => {
        const sent = request.body as Record<string, unknown> | null | undefined;
        if (sent === undefined) throw new Problem('unsupported_media_type', 'Send the request as application/json.');
        request.uploadMs = reply.elapsedTime;
        request.pictures = {};
        if (typeof sent !== 'object' || sent === null) return;
        for (const [name, value] of Object.entries(sent)) if (value === null) delete sent[name];
        const [image] = Array.isArray(sent.init_images) ? sent.init_images : [];
        for (const [name, field, value] of [
          ['image', 'init_images', image],
          ['mask', 'mask', sent.mask],
        ] as const) {
          if (typeof value === 'string')
            request.pictures[name] = pictureFromBase64(field, value, config.MAX_UPLOAD_BYTES);
        }
      },
    },
    async (request, reply) => {
      const { body: sent, uploadMs, pictures } = request;
      const caller = request.caller ?? request.ip;
      const { signal, deadline } = deadlineSignal(request, reply, config.REQUEST_TIMEOUT_MS);
      const asked = readRequest(
        sent,
        config.MAX_N,
        checkpointName(engine, sent.override_settings?.sd_model_checkpoint),
      );
      const plan = await maker.plan(
        {
          bodies: eachSeed(asked.body, asked.n),
          image: pictures.image,
          mask: pictures.mask,
          maskReading: asked.maskReading,
        },
        { caller, signal, deadline },
      );
      writeIgnoredFields(reply, withoutEffect(sent, body.properties));
      const task = new Task(caller, sent.force_task_id, asked.n);
      try {
        const made = await tasks.run(task, () =>
          maker.run(plan, {
            signal: AbortSignal.any([signal, task.signal]),
            deadline,
            caller: request.caller,
            trace: request.trace,
            uploadMs,
            preview: true,
            onProgress: (progress) => task.follow(progress),
          }),
        );
        writeHeaders(reply, made);
        return sendJson(reply, webuiMade(sent, made, { ...asked, version: `img2img-${version}` }));
      } catch (error) {
        if (!task.signal.aborted || error !== task.signal.reason) throw error;
        return sendJson(reply, webuiInterrupted(sent));
      }
    },
  );

  const TaskQuery = Type.Object({
    id_task: Type.Optional(
      Type.String({ description: 'The `force_task_id` of the request. Absent means any of the same key.' }),
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
            Type.Enum(['true', 'false'], { type: 'string', default: 'false', description: 'Leave the preview out.' }),
          ),
        }),
        response: {
          ...json(
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
    async ({ query, caller, ip }) => {
      const [task] = tasks.of(caller ?? ip, query.id_task);
      const preview = query.skip_current_image === 'true' ? undefined : task?.preview;
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
          ...json('Done', Type.Object({})),
          ...responses('invalid_request', 'unauthorized', 'upload_too_large', 'unsupported_media_type'),
        },
      },
    },
    async ({ query, caller, ip }) => {
      for (const task of tasks.of(caller ?? ip, query.id_task)) task.interrupt();
      return {};
    },
  );

  listRoutes(app, engine);
}
