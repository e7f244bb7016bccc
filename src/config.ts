// The settings: one schema of the environment -> a frozen Config. The only reader of process.env.

import { isIP } from 'node:net';
import { envSchema } from 'env-schema';
import { type Static, Type } from 'typebox';
import type { EngineSettings } from './engine/host/engine.js';
import { safetyModes } from './model-facts.js';
import { requirement, type SchemaError } from './requirement.js';

/** Node's timers take no more. */
const maxTimerMs = 2_147_483_647;

const Settings = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on' }),
  PORT: Type.Integer({
    default: 8080,
    minimum: 0,
    maximum: 65535,
    description: 'Port to listen on; 0 takes a free one',
  }),
  METRICS_PORT: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 65535, description: 'Serve `/metrics` on a port of its own instead' }),
  ),
  MODELS_DIR: Type.String({ default: './models', minLength: 1, description: 'Folder of models' }),
  DEFAULT_MODEL: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'The model of requests that name none; the server does not start when it cannot run. Unset: `paintbox` where it runs, else the first by name that does',
    }),
  ),
  EMBEDDINGS_DIR: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Folder of textual inversions (`.safetensors`), which prompts use by the names of their files; by default `embeddings` in `MODELS_DIR`',
    }),
  ),
  LORAS_DIR: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Folder of LoRAs as `.safetensors`, in folders below it if you like. By default `loras` in MODELS_DIR',
    }),
  ),
  CACHE_DIR: Type.String({
    default: './cache',
    minLength: 1,
    description: 'Where graphs are kept that had to be patched for batching; may be emptied at any time',
  }),
  DEVICES: Type.String({
    default: 'auto',
    minLength: 1,
    description:
      '`auto` (all NVIDIA GPUs and MIG instances, else the CPU), or a list of `cpu`, `cpu*N` (N workers), `cuda:N`, `cuda:N:M` (instance M of GPU N), and, as an experiment, `webgpu`, `coreml`, `dml` (the first adapter, where onnxruntime brings them); one worker process each',
  }),
  THREADS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 256,
      description: 'Threads per worker on the CPU; by default the cores are shared out',
    }),
  ),
  MAX_CONCURRENT: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 64,
      description:
        "Requests that share one worker's steps; by default as many as the worker measures to be worthwhile, which on a CPU is one",
    }),
  ),
  MODEL_MEMORY_BYTES: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        'Weights that one worker keeps loaded, together, as what they take in memory; the longest unused models leave for others. Where it is set, larger models cannot run. By default half of the free memory, shared out among the workers, and a larger model runs alone',
    }),
  ),
  PRELOAD_MODELS: Type.String({
    default: 'auto',
    minLength: 1,
    description:
      'Models that are loaded before `/readyz` says so, beside the default one: names, comma-separated, `none`, or `auto` for the one of the fewest steps, with which the page at `/` begins. What does not fit into `MODEL_MEMORY_BYTES` is loaded at its first request',
  }),
  SAFETY_CHECKER: Type.Enum([...safetyModes], {
    default: 'off',
    description:
      "What is done with pictures that the model's safety checker flags: `off` asks none, `flag` tells it, `block` keeps them back, sends no previews, and runs only models that have a checker",
  }),
  STEP_TIMEOUT_MS: Type.Integer({
    default: 120_000,
    minimum: 100,
    maximum: maxTimerMs,
    description: 'A worker that does not end a step in this time is replaced',
  }),
  WORKER_MODULE: Type.Optional(
    Type.String({
      description:
        'For tests and benches: a file that every worker loads, whose default export puts another device in the place of its own (`src/engine/worker/device.ts` says how)',
    }),
  ),
  MAX_QUEUE: Type.Integer({
    default: 32,
    minimum: 0,
    maximum: 10_000,
    description: 'Pictures that may wait; one more is a 429',
  }),
  REQUEST_TIMEOUT_MS: Type.Integer({
    default: 60_000,
    minimum: 100,
    maximum: maxTimerMs,
    description: 'Longest time for one request, waiting included',
  }),
  HEADERS_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 100,
    maximum: maxTimerMs,
    description: "Longest time for a connection to send a request's headers",
  }),
  UPLOAD_TIMEOUT_MS: Type.Integer({
    default: 60_000,
    minimum: 100,
    maximum: maxTimerMs,
    description: 'Longest time for a whole request to come in',
  }),
  IDLE_TIMEOUT_MS: Type.Integer({
    default: 72_000,
    minimum: 100,
    maximum: maxTimerMs,
    description: 'After which a connection is closed that waits for no answer, or does not read the one that it gets',
  }),
  HEARTBEAT_MS: Type.Integer({
    default: 15_000,
    minimum: 10,
    maximum: maxTimerMs,
    description: 'Time between the comments that keep an event stream open',
  }),
  DRAIN_DELAY_MS: Type.Integer({
    default: 5000,
    minimum: 0,
    maximum: maxTimerMs,
    description: 'After SIGTERM: how long requests are still accepted while `/readyz` says 503',
  }),
  DRAIN_DEADLINE_MS: Type.Integer({
    default: 90_000,
    minimum: 0,
    maximum: maxTimerMs,
    description: 'After SIGTERM: when the process ends in any case',
  }),
  MAX_UPLOAD_BYTES: Type.Integer({ default: 26_214_400, minimum: 1024, description: 'Size of an uploaded picture' }),
  MAX_UPLOADS_BYTES: Type.Integer({
    default: 268_435_456,
    minimum: 1024,
    description: 'Bodies of all requests in flight together; one more is a 429',
  }),
  MAX_PICTURES_BYTES: Type.Integer({
    default: 536_870_912,
    minimum: 1024,
    description: 'Decoded pictures of all requests in flight together; one more is a 429',
  }),
  MAX_DECODE_BYTES: Type.Integer({
    default: 1_610_612_736,
    minimum: 268_435_456,
    description:
      'Memory that pictures may take together while they are decoded, in processes of their own; what does not fit waits, and a picture that takes more than seven eighths of it is a 422',
  }),
  DECODE_TIMEOUT_MS: Type.Integer({
    default: 20_000,
    minimum: 100,
    maximum: maxTimerMs,
    description: 'Longest time for decoding one picture; a longer one is a 422',
  }),
  MAX_INPUT_PIXELS: Type.Integer({ default: 50_000_000, minimum: 1, description: 'Pixels of an uploaded picture' }),
  MAX_PIXELS: Type.Integer({ default: 4_194_304, minimum: 1, description: 'Pixels of an answer' }),
  MAX_STEPS: Type.Integer({ default: 150, minimum: 1, maximum: 1000, description: 'Largest `steps`' }),
  MAX_N: Type.Integer({ default: 8, minimum: 1, maximum: 64, description: 'Largest `n`, pictures of one request' }),
  MAX_LORAS: Type.Integer({ default: 8, minimum: 1, maximum: 32, description: 'LoRAs of one request' }),
  MAX_SHEET_CELLS: Type.Integer({
    default: 36,
    minimum: 1,
    maximum: 400,
    description: 'Pictures of one contact sheet',
  }),
  MAX_PROMPT_CHARS: Type.Integer({
    default: 2000,
    minimum: 1,
    maximum: 1_000_000,
    description: 'Longest `prompt` and `negative_prompt`',
  }),
  MODEL_ALIASES: Type.String({
    default: '',
    pattern: '^\\s*([^=,]+=[^=,]+(,[^=,]+=[^=,]+)*)?\\s*$',
    description:
      'Comma-separated `alias=model`: other names for models on `/v1`, for clients that insist on one, such as `gpt-image-1=paintbox`',
  }),
  API_KEYS: Type.String({
    default: '',
    description:
      'Comma-separated; when set, every route but the probes, the page at `/` and the documentation wants `Authorization: Bearer <key>` (`/sdapi` also takes the key as the password of Basic; `METRICS_PORT` stays open)',
  }),
  TRUST_PROXY: Type.Optional(
    Type.String({
      description:
        'Proxies in front whose `X-Forwarded-*` headers are believed: how many hops, or a comma-separated list of their addresses (`10.0.0.0/8`). Unset: none are, and a caller without a key is the address that connects',
    }),
  ),
  RATE_LIMIT: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        'Requests for pictures that one key, or one address where keys are off, may send to this replica in a minute; one more is a 429. Unset: no limit',
    }),
  ),
  CORS_ORIGINS: Type.String({
    default: '',
    description: 'Comma-separated origins whose pages may call the API; `*` for all',
  }),
  REVISION: Type.String({
    default: 'unknown',
    minLength: 1,
    description: 'Git revision, for `img2img_build_info`; the images have it built in',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({
      pattern: '^https?://[^/]',
      description:
        "Collector that gets a span of each request, as OTLP over HTTP (JSON), such as `http://localhost:4318`. The other variables of OpenTelemetry's SDK count too: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`. Unset: nothing is loaded and nothing sent",
    }),
  ),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    description: 'What is logged: trace, debug, info, warn, error, fatal or silent',
  }),
  LOG_PROMPTS: Type.Boolean({
    default: false,
    description: '`true` logs the prompts of each request that is valid; keys are never logged',
  }),
  LOG_FORMAT: Type.Enum(['auto', 'json', 'text'], {
    default: 'auto',
    description: '`json`, `text`, or `auto`: text on a terminal',
  }),
});

export type Config = Readonly<Static<typeof Settings>>;

/** A comma-separated setting. */
export function list(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** A comma-separated setting of `name=value`. */
export function pairs(text: string): Map<string, string> {
  return new Map(list(text).map((item) => item.split('=').map((side) => side.trim()) as [string, string]));
}

/** Name, default and meaning of each setting, for the table of docs/settings.md. */
export const settingsTable = Object.entries(
  Settings.properties as Record<string, { default?: unknown; description?: string }>,
).map(([name, schema]) => ({ name, default: String(schema.default ?? ''), description: schema.description ?? '' }));

/** @throws Error with a sentence that names each bad setting, its value and what it must be */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  // Set but empty means not set, as in most shells' and manifests' use.
  const data = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const config = Object.freeze(validated(data, environment));
  // A JSON body is 1.4 times its two pictures.
  if (config.MAX_UPLOADS_BYTES < 3 * config.MAX_UPLOAD_BYTES) {
    throw new Error(
      `MAX_UPLOADS_BYTES is ${config.MAX_UPLOADS_BYTES}; it must be at least 3 times MAX_UPLOAD_BYTES, which is ${config.MAX_UPLOAD_BYTES}.`,
    );
  }
  const noAddress = /^[1-9]$/.test(config.TRUST_PROXY ?? '1') ? undefined : list(config.TRUST_PROXY!).find(isNoNetwork);
  if (noAddress !== undefined) {
    throw new Error(
      `TRUST_PROXY is ${JSON.stringify(config.TRUST_PROXY)}; ${JSON.stringify(noAddress)} is no address, no network and no number of hops from 1 to 9.`,
    );
  }
  if (config.API_KEYS !== '' && config.API_KEYS.split(',').some((key) => key.trim() === '')) {
    const keys = config.API_KEYS.split(',').length;
    throw new Error(
      `API_KEYS has ${keys === 1 ? 'an empty key' : `${keys} keys, of which one or more are empty`}; unset it to serve without keys.`,
    );
  }
  return config;
}

/** What the models command reads. Of the server's settings that is one, so that no other one can stop it. */
export function readModelsConfig(environment: NodeJS.ProcessEnv = process.env) {
  const { MODELS_DIR, HF_ENDPOINT, HF_TOKEN } = environment;
  return {
    modelsDir: MODELS_DIR || defaultConfig.MODELS_DIR,
    endpoint: HF_ENDPOINT || undefined,
    token: HF_TOKEN?.trim() || undefined,
  };
}

/** For one that is neither an address nor `address/bits`. */
function isNoNetwork(item: string): boolean {
  const [address = '', bits, ...rest] = item.split('/');
  const family = isIP(address);
  const most = family === 6 ? 128 : 32;
  return family === 0 || rest.length > 0 || (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= most));
}

/** As the engine takes it. */
export function preloadOf({ PRELOAD_MODELS }: Config): 'auto' | string[] {
  if (PRELOAD_MODELS === 'auto') return 'auto';
  return PRELOAD_MODELS === 'none' ? [] : list(PRELOAD_MODELS);
}

/** What the engine gets of the settings. */
export function engineSettings(config: Config): EngineSettings {
  return {
    modelsDir: config.MODELS_DIR,
    embeddingsDir: config.EMBEDDINGS_DIR,
    defaultModel: config.DEFAULT_MODEL,
    lorasDir: config.LORAS_DIR,
    cacheDir: config.CACHE_DIR,
    devices: config.DEVICES,
    threads: config.THREADS,
    maxConcurrent: config.MAX_CONCURRENT,
    maxQueue: config.MAX_QUEUE,
    maxPictureBytes: config.MAX_PICTURES_BYTES,
    stepTimeoutMs: config.STEP_TIMEOUT_MS,
    modelMemoryBytes: config.MODEL_MEMORY_BYTES,
    preload: preloadOf(config),
    safety: config.SAFETY_CHECKER,
    maxSteps: config.MAX_STEPS,
    workerModule: config.WORKER_MODULE,
  };
}

function validated(data: NodeJS.ProcessEnv, environment: NodeJS.ProcessEnv): Config {
  try {
    return envSchema<Config>({ schema: Settings, data, env: false, dotenv: false });
  } catch (error) {
    const { errors } = error as { errors?: SchemaError[] };
    if (!errors) throw error;
    const sentences = errors.map((one) => {
      const name = one.instancePath.slice(1);
      return `${name} is ${JSON.stringify(environment[name])}; it ${requirement(one)}.`;
    });
    throw new Error(sentences.join('\n'));
  }
}

export const defaultConfig: Config = readConfig({});
