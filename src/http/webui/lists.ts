// What a client of the web UI asks for before it draws: samplers, schedulers, models, options.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Shelf } from '../generators/shelf.js';
import { fieldProblem, Problem } from '../problems/problems.js';
import { webuiJson as json, label, webuiResponses as responses, webuiTags } from './answers.js';
import { asksFor } from './fields.js';
import { samplers, schedules } from './samplers.js';

export function listRoutes(app: FastifyInstance, shelf: Shelf): void {
  app.get(
    '/samplers',
    {
      schema: {
        operationId: 'webuiSamplers',
        summary: 'The samplers',
        description: 'Each is one of our schedulers for each schedule that it takes.',
        tags: webuiTags,
        response: {
          ...json(
            'What `sampler_name` takes',
            Type.Array(
              Type.Object({
                name: Type.String(),
                aliases: Type.Array(Type.String()),
                options: Type.Object({ scheduler: Type.Optional(Type.String()) }),
              }),
            ),
          ),
          ...responses('unauthorized'),
        },
      },
    },
    async () =>
      samplers.map(({ name, aliases, automatic }) => ({
        name,
        aliases,
        options: automatic ? { scheduler: automatic } : {},
      })),
  );

  app.get(
    '/schedulers',
    {
      schema: {
        operationId: 'webuiSchedulers',
        summary: 'The noise schedules',
        description: 'Not every sampler takes all of them.',
        tags: webuiTags,
        response: {
          ...json(
            'What `scheduler` takes',
            Type.Array(
              Type.Object({
                name: Type.String(),
                label: Type.String(),
                aliases: Type.Union([Type.Array(Type.String()), Type.Null()]),
                default_rho: Type.Number(),
                need_inner_model: Type.Boolean(),
              }),
            ),
          ),
          ...responses('unauthorized'),
        },
      },
    },
    async () =>
      schedules.map((name) => ({
        name,
        label: label(name),
        aliases: null,
        default_rho: name === 'karras' ? 7 : -1,
        need_inner_model: false,
      })),
  );

  app.get(
    '/sd-models',
    {
      schema: {
        operationId: 'webuiModels',
        summary: 'The models',
        description: 'Those that can run, and generators after them; the first is the default.',
        tags: webuiTags,
        response: {
          ...json(
            'What `override_settings.sd_model_checkpoint` takes',
            Type.Array(
              Type.Object({
                title: Type.String(),
                model_name: Type.String(),
                hash: Type.String(),
                sha256: Type.String(),
                filename: Type.String(),
                config: Type.Union([Type.String(), Type.Null()]),
              }),
            ),
          ),
          ...responses('unauthorized'),
        },
      },
    },
    async () =>
      checkpoints(shelf).map(({ name, digest }) => ({
        title: title({ name, digest }),
        model_name: name,
        hash: digest.slice(0, 10),
        sha256: digest,
        filename: name,
        config: null,
      })),
  );

  const options = () => {
    const { model } = shelf.choose();
    return {
      sd_model_checkpoint: title(model),
      sd_checkpoint_hash: model.digest,
      sd_vae: 'Automatic',
      CLIP_stop_at_last_layers: 1,
      samples_format: 'png',
    };
  };
  app.get(
    '/options',
    {
      schema: {
        operationId: 'webuiOptions',
        summary: 'The options',
        description: 'Those that say something here.',
        tags: webuiTags,
        response: {
          ...json(
            'The options',
            Type.Object({
              sd_model_checkpoint: Type.String(),
              sd_checkpoint_hash: Type.String(),
              sd_vae: Type.String(),
              CLIP_stop_at_last_layers: Type.Integer(),
              samples_format: Type.String(),
            }),
          ),
          ...responses('unauthorized', 'not_ready', 'draining'),
        },
      },
    },
    async () => options(),
  );
  app.post<{ Body: Record<string, unknown> }>(
    '/options',
    {
      config: { rateLimit: false },
      schema: {
        operationId: 'webuiSetOptions',
        summary: 'Set options',
        description:
          'Requests share no state here, so that nothing can be set: a value that is there already is accepted, every other is refused. Send `override_settings` with a request instead.',
        tags: webuiTags,
        body: { content: { 'application/json': { schema: Type.Object({}) } } },
        response: {
          ...json('null: nothing had to be changed', Type.Unknown()),
          ...responses(
            'invalid_request',
            'unauthorized',
            'unsupported_media_type',
            'model_not_found',
            'not_ready',
            'draining',
          ),
        },
      },
    },
    async ({ body: sent }, reply) => {
      if (sent === undefined) throw new Problem('unsupported_media_type', 'Send the request as application/json.');
      const present: Record<string, unknown> = options();
      for (const [name, value] of Object.entries(sent)) {
        const same =
          name === 'sd_model_checkpoint'
            ? checkpointName(shelf, String(value)) === shelf.choose().name
            : value === null || value === '' || !asksFor(value, [present[name]]);
        if (same) continue;
        const detail = `${name.slice(0, 60)} cannot be set: requests share no state here. Send override_settings with a request.`;
        throw fieldProblem('invalid_request', name.slice(0, 60), detail);
      }
      return reply.type('application/json').send('null');
    },
  );
}

/** What the web UI calls checkpoints: models, and generators over them. */
const checkpoints = (shelf: Shelf): { name: string; digest: string }[] => [
  ...shelf.models.flatMap((model) => (model.runnable ? [{ name: model.name, digest: model.digest }] : [])),
  ...shelf.others.flatMap((one) =>
    'model' in one && one.generator ? [{ name: one.name, digest: one.generator.digest }] : [],
  ),
];

const title = ({ name, digest }: { name: string; digest: string }) => `${name} [${digest.slice(0, 10)}]`;

/** A checkpoint's title, name or hash -> our name; what is none of them is left to be refused. */
export function checkpointName(shelf: Shelf, checkpoint: string | undefined): string | undefined {
  if (checkpoint === undefined) return undefined;
  const known = checkpoints(shelf).find((one) =>
    [title(one), one.name, one.digest, one.digest.slice(0, 10)].includes(checkpoint),
  );
  return known?.name ?? checkpoint;
}
