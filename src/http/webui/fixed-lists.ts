// What plug-ins of the web UI ask for when they connect, in its shapes: what is not here is an empty list, and not an error.

import { totalmem } from 'node:os';
import type { FastifyInstance } from 'fastify';
import { type TSchema, Type } from 'typebox';
import type { Engine } from '../../engine/host/engine.js';
import type { ReadableTelemetry } from '../metrics/gpu-metrics.js';
import { webuiJson as json, webuiResponses as responses, webuiTags } from './answers.js';

interface FixedList {
  readonly operation: string;
  readonly summary: string;
  readonly description: string;
  readonly schema: TSchema;
  readonly answer: () => unknown;
}

const text = Type.String();
const textOrNull = Type.Union([text, Type.Null()]);
const numberOrNull = Type.Union([Type.Number(), Type.Null()]);

const none = (operation: string, what: string, item: Record<string, TSchema>): FixedList => ({
  operation,
  summary: what,
  description: 'Empty: there are none here.',
  schema: Type.Array(Type.Object(item)),
  answer: () => [],
});

const Embedding = Type.Object({
  step: numberOrNull,
  sd_checkpoint: textOrNull,
  sd_checkpoint_name: textOrNull,
  shape: Type.Integer(),
  vectors: Type.Integer(),
});

const lists = (engine: Engine, gpus: ReadableTelemetry | undefined): Readonly<Record<string, FixedList>> => ({
  upscalers: {
    operation: 'webuiUpscalers',
    summary: 'The upscalers',
    description: 'Only `None`, which does nothing.',
    schema: Type.Array(
      Type.Object({
        name: text,
        model_name: textOrNull,
        model_path: textOrNull,
        model_url: textOrNull,
        scale: numberOrNull,
      }),
    ),
    answer: () => [{ name: 'None', model_name: null, model_path: null, model_url: null, scale: 1 }],
  },
  'latent-upscale-modes': none('webuiLatentUpscaleModes', 'The latent upscale modes', { name: text }),
  loras: {
    operation: 'webuiLoras',
    summary: 'The LoRAs',
    description: 'What `<lora:name:0.8>` in a prompt takes. No paths: a path is the name.',
    schema: Type.Array(
      Type.Object({ name: text, alias: text, path: text, metadata: Type.Object({}, { additionalProperties: true }) }),
    ),
    answer: () =>
      engine.loras
        .filter(({ runnable }) => runnable)
        .map(({ name }) => ({ name, alias: name, path: name, metadata: {} })),
  },
  'sd-vae': none('webuiVaes', 'The autoencoders that can be chosen', { model_name: text, filename: text }),
  hypernetworks: none('webuiHypernetworks', 'The hypernetworks', { name: text, path: textOrNull }),
  'face-restorers': none('webuiFaceRestorers', 'The face restorers', { name: text, cmd_dir: textOrNull }),
  'realesrgan-models': none('webuiRealesrganModels', 'The RealESRGAN models', {
    name: text,
    path: textOrNull,
    scale: numberOrNull,
  }),
  'prompt-styles': none('webuiPromptStyles', 'The prompt styles', {
    name: text,
    prompt: textOrNull,
    negative_prompt: textOrNull,
  }),
  embeddings: {
    operation: 'webuiEmbeddings',
    summary: 'The textual inversions',
    description:
      'What a prompt takes by name; `skipped` is empty. The steps and models of their training are not known here.',
    schema: Type.Object({
      loaded: Type.Record(Type.String(), Embedding),
      skipped: Type.Record(Type.String(), Embedding),
    }),
    answer: () => ({ loaded: embeddingsOf(engine), skipped: {} }),
  },
  scripts: {
    operation: 'webuiScripts',
    summary: 'The scripts',
    description: 'Empty: there are none here, and so no ControlNet.',
    schema: Type.Object({ txt2img: Type.Array(text), img2img: Type.Array(text) }),
    answer: () => ({ txt2img: [], img2img: [] }),
  },
  'script-info': none('webuiScriptInfo', "The scripts' arguments", {
    name: textOrNull,
    is_alwayson: Type.Boolean(),
    is_img2img: Type.Boolean(),
    args: Type.Array(Type.Object({})),
  }),
  extensions: none('webuiExtensions', 'The extensions', {
    name: text,
    remote: text,
    branch: text,
    commit_hash: text,
    version: text,
    commit_date: text,
    enabled: Type.Boolean(),
  }),
  'cmd-flags': {
    operation: 'webuiCommandFlags',
    summary: 'The flags of the command line',
    description: 'Those that say something here.',
    schema: Type.Object({
      api: Type.Boolean(),
      nowebui: Type.Boolean(),
      api_server_stop: Type.Boolean(),
      lowvram: Type.Boolean(),
      medvram: Type.Boolean(),
    }),
    answer: () => ({ api: true, nowebui: true, api_server_stop: false, lowvram: false, medvram: false }),
  },
  memory: {
    operation: 'webuiMemory',
    summary: 'The memory',
    description: 'Bytes: of the process that answers, and of the first GPU; `error` where there is none to tell of.',
    schema: Type.Object({ ram: Type.Record(Type.String(), Type.Number()), cuda: Type.Object({}) }),
    answer: () => ({ ram: ofProcess(), cuda: ofGpu(gpus) }),
  },
});

function embeddingsOf({ embeddings }: Engine) {
  const unknown = { step: null, sd_checkpoint: null, sd_checkpoint_name: null };
  return Object.fromEntries(
    embeddings.flatMap((each) =>
      each.runnable ? [[each.name, { ...unknown, shape: each.widths[0], vectors: each.vectors }] as const] : [],
    ),
  );
}

function ofProcess() {
  const total = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  const used = process.memoryUsage.rss();
  return { free: Math.max(total - used, 0), used, total };
}

function ofGpu(gpus: ReadableTelemetry | undefined) {
  const memory = gpus?.gpus[0]?.memory;
  if (!memory) return { error: 'unavailable' };
  const { used, total } = memory;
  return { system: { free: total - used, used, total } };
}

export function fixedListRoutes(app: FastifyInstance, engine: Engine, gpus: ReadableTelemetry | undefined): void {
  for (const [path, { operation, summary, description, schema, answer }] of Object.entries(lists(engine, gpus))) {
    app.get(
      `/${path}`,
      {
        schema: {
          operationId: operation,
          summary,
          description,
          tags: webuiTags,
          response: { ...json(summary, schema), ...responses('unauthorized') },
        },
      },
      async (_request, reply) => reply.type('application/json').send(JSON.stringify(answer())),
    );
  }
  for (const what of ['checkpoints', 'vae', 'loras', 'embeddings']) {
    app.post(
      `/refresh-${what}`,
      {
        config: { rateLimit: false },
        schema: {
          operationId: `webuiRefresh${what[0]!.toUpperCase()}${what.slice(1)}`,
          summary: `Look for ${what} again`,
          description: 'Has no effect: the lists say what there is.',
          tags: webuiTags,
          response: {
            ...json('null', Type.Unknown()),
            ...responses('invalid_request', 'unauthorized', 'upload_too_large', 'unsupported_media_type'),
          },
        },
      },
      async (_request, reply) => reply.type('application/json').send('null'),
    );
  }
}
