// The settings: one schema of the environment -> a frozen Config. The only reader of process.env.

import { envSchema } from 'env-schema';
import { type Static, Type } from 'typebox';
import type { EngineSettings } from './engine/host/engine.js';
import type { StandInSettings } from './engine/shared/stand-in.js';
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
  MODELS_DIR: Type.String({ default: './models', minLength: 1, description: 'Folder of model folders' }),
  CACHE_DIR: Type.String({
    default: './cache',
    minLength: 1,
    description: 'Where graphs are kept that had to be patched for batching; may be emptied at any time',
  }),
  DEVICES: Type.String({
    default: 'auto',
    minLength: 1,
    description:
      '`auto` (all NVIDIA GPUs and MIG instances, else the CPU), or a list of `cpu`, `cpu*N` (N workers), `cuda:N`, `cuda:N:M` (instance M of GPU N); one worker process each. `standin` is a CPU with costs and faults on demand, for tests',
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
        'Model folders that one worker keeps loaded, together; the longest unused leave for others. By default half of the free memory, shared out among the workers',
    }),
  ),
  STEP_TIMEOUT_MS: Type.Integer({
    default: 120_000,
    minimum: 100,
    maximum: maxTimerMs,
    description: 'A worker that does not end a step in this time is replaced',
  }),
  STAND_IN: Type.Optional(
    Type.String({
      description: 'For tests: what `DEVICES=standin` costs, as JSON (`src/engine/shared/stand-in.ts` says the keys)',
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
  MAX_INPUT_PIXELS: Type.Integer({ default: 50_000_000, minimum: 1, description: 'Pixels of an uploaded picture' }),
  MAX_PIXELS: Type.Integer({ default: 4_194_304, minimum: 1, description: 'Pixels of an answer' }),
  MAX_STEPS: Type.Integer({ default: 150, minimum: 1, maximum: 1000, description: 'Largest `steps`' }),
  MAX_N: Type.Integer({ default: 8, minimum: 1, maximum: 64, description: 'Largest `n`, pictures of one request' }),
  MAX_SHEET_CELLS: Type.Integer({
    default: 36,
    minimum: 1,
    maximum: 400,
    description: 'Pictures of one contact sheet',
  }),
  MAX_PROMPT_CHARS: Type.Integer({ default: 2000, minimum: 1, description: 'Longest `prompt` and `negative_prompt`' }),
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

/** Name, default and meaning of each setting, for the README's table. */
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
  return config;
}

/** What the engine gets of the settings. */
export function engineSettings(config: Config): EngineSettings {
  return {
    modelsDir: config.MODELS_DIR,
    cacheDir: config.CACHE_DIR,
    devices: config.DEVICES,
    threads: config.THREADS,
    maxConcurrent: config.MAX_CONCURRENT,
    maxQueue: config.MAX_QUEUE,
    maxPictureBytes: config.MAX_PICTURES_BYTES,
    stepTimeoutMs: config.STEP_TIMEOUT_MS,
    modelMemoryBytes: config.MODEL_MEMORY_BYTES,
    standIn: parseStandIn(config.STAND_IN),
  };
}

function parseStandIn(text: string | undefined): StandInSettings | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`STAND_IN is ${JSON.stringify(text)}; it must be JSON.`);
  }
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
