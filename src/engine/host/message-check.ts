// What a worker may say, checked where it arrives: a worker that has lost its mind must not take the HTTP process with it.

import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Timings } from '../../img2img-request.js';
import {
  guidanceKinds,
  kinds,
  loraFamilies,
  partFormats,
  partNames,
  precisions,
  scheduleKinds,
  type Vocabulary,
  vocabularyGroups,
  weightPrecisions,
} from '../../model-facts.js';
import { type SchedulerName, schedulerNames } from '../../pipeline/schedulers/index.js';
import type { SchedulerConfig } from '../../pipeline/schedulers/schedule.js';
import { type FromWorker, loraWays } from '../shared/messages.js';

const object = <P extends Record<string, TSchema>>(properties: P) =>
  Type.Object(properties, { additionalProperties: false });
/** As long as a message may be: what a folder says of itself is no fault of the worker. */
const text = Type.String();
/** A folder's own, whatever it means by it. */
const number = Type.Number();
const name = Type.String({ minLength: 1, maxLength: 1000 });
const count = Type.Integer({ minimum: 0 });
const positive = Type.Integer({ minimum: 1 });
/** Milliseconds, or bytes that were computed. */
const amount = Type.Number({ minimum: 0 });
const oneOf = <T extends string>(values: readonly T[]) => Type.Enum([...values]);
const nothing = Type.Undefined();

/** Raw RGB that has as many bytes as its sides say. */
const pixels = Type.Refine(
  object({
    data: Type.Refine(Type.Unsafe<Uint8Array>({}), (data) => data instanceof Uint8Array),
    width: positive,
    height: positive,
  }),
  ({ data, width, height }) => data.length === 3 * width * height,
);

const capacity = object({
  width: positive,
  height: positive,
  maxRows: Type.Union([positive, nothing]),
  calls: Type.Array(object({ rows: positive, ms: amount })),
});

const brokenModel = object({
  name,
  runnable: Type.Literal(false),
  reason: text,
  changing: Type.Optional(Type.Boolean()),
});

const modelInfo = object({
  name,
  title: text,
  description: text,
  kind: oneOf(kinds),
  exporter: text,
  precision: oneOf(precisions),
  parts: Type.Array(
    object({
      part: oneOf(partNames),
      format: oneOf(partFormats),
      weights: Type.Array(oneOf(weightPrecisions)),
      computes: oneOf(precisions),
    }),
  ),
  textEncodersOf: Type.Optional(name),
  rules: object({ schedule: oneOf(scheduleKinds), guidance: oneOf(guidanceKinds), masks: Type.Boolean() }),
  license: Type.Union([text, Type.Null()]),
  note: Type.Optional(text),
  vocabulary: Type.Optional(
    object(
      Object.fromEntries(vocabularyGroups.map((group) => [group, Type.Array(text)])) as Record<
        keyof Vocabulary,
        Type.TArray<Type.TString>
      >,
    ),
  ),
  runnable: Type.Literal(true),
  loaded: Type.Boolean(),
  digest: name,
  stamp: text,
  size: object({ native: number, multiple: number, min: number, max: number }),
  defaults: object({
    steps: number,
    guidance: number,
    strength: Type.Optional(number),
    imageGuidance: Type.Optional(number),
    scheduler: oneOf<SchedulerName>(schedulerNames),
  }),
  // The folder's own words: the schedulers read them, and refuse what they cannot use.
  schedulerConfig: Type.Unsafe<SchedulerConfig>({ type: 'object' }),
  loraFamily: Type.Union([oneOf(loraFamilies), Type.Null()]),
  safetyChecker: Type.Boolean(),
  capacities: Type.Optional(Type.Array(capacity)),
  memoryNeeds: Type.Optional(Type.Array(object({ pixels: positive, bytes: amount }))),
  changeMs: Type.Optional(amount),
});

const model = Type.Union([modelInfo, brokenModel]);

const embedding = Type.Union([
  object({ name, runnable: Type.Literal(true), vectors: positive, widths: Type.Array(positive) }),
  object({ name, runnable: Type.Literal(false), reason: text }),
]);

const lora = Type.Union([
  object({
    name,
    runnable: Type.Literal(true),
    family: oneOf(loraFamilies),
    rank: positive,
    triggerWords: Type.Array(text),
    digest: name,
    stamp: text,
  }),
  object({ name, runnable: Type.Literal(false), reason: text }),
]);

const timings = object({
  textEncode: amount,
  vaeEncode: amount,
  denoise: amount,
  vaeDecode: amount,
  safetyCheck: amount,
} satisfies Record<keyof Timings, TSchema>);

const result = object({
  pixels,
  drawUnseeded: Type.Boolean(),
  droppedTokens: object({ prompt: count, negativePrompt: count }),
  beyondClip: object({ prompt: count, negativePrompt: count }),
  embeddings: object({ used: Type.Array(name), unfit: Type.Array(name) }),
  unetCalls: count,
  unusedLoraKeys: count,
  loraWay: Type.Union(loraWays.map((way) => Type.Literal(way))),
  flagged: Type.Optional(Type.Boolean()),
  modelLoadMs: amount,
  timings,
  modelRunMs: amount,
});

const type = <T extends string>(value: T) => Type.Literal(value);

const messages = {
  models: object({
    type: type('models'),
    models: Type.Array(model),
    loras: Type.Array(lora),
    problem: Type.Union([text, nothing]),
    onnxruntime: text,
  }),
  embeddings: object({ type: type('embeddings'), embeddings: Type.Array(embedding) }),
  ready: object({ type: type('ready') }),
  model: object({ type: type('model'), model }),
  lora: object({ type: type('lora'), lora }),
  busy: object({ type: type('busy'), doing: oneOf(['load', 'run', 'nothing']) }),
  step: object({
    type: type('step'),
    model: name,
    pixels: positive,
    rows: positive,
    ms: amount,
    changedShape: Type.Boolean(),
  }),
  modelLoaded: object({
    type: type('modelLoaded'),
    model: name,
    component: Type.String({ pattern: '^\\w{1,40}$' }),
    ms: amount,
  }),
  promptCache: object({ type: type('promptCache'), hits: count, misses: count }),
  memory: object({ type: type('memory'), bytes: amount, freeBytes: Type.Optional(Type.Union([amount, nothing])) }),
  fatal: object({ type: type('fatal'), reason: oneOf(['oom', 'execution_provider']), message: text }),
  progress: object({
    type: type('progress'),
    id: count,
    progress: object({ step: count, steps: count, preview: Type.Optional(pixels) }),
  }),
  done: object({ type: type('done'), id: count, result }),
  failed: object({
    type: type('failed'),
    id: count,
    code: oneOf(['internal', 'model_not_runnable', 'model_changing', 'lora_not_runnable', 'too_large_for_device']),
    message: text,
  }),
  aborted: object({ type: type('aborted'), id: count }),
} satisfies Record<FromWorker['type'], TSchema>;

type Checked = { [T in keyof typeof messages]: Static<(typeof messages)[T]> }[keyof typeof messages];

const checks = new Map<unknown, ReturnType<typeof Compile>>(
  Object.entries(messages).map(([type, schema]) => [type, Compile(schema)]),
);

/** @returns the message, or a sentence about what is wrong with it */
export function checkMessage(message: unknown): FromWorker | string {
  const type = (message as { type?: unknown } | null | undefined)?.type;
  const check = checks.get(type);
  if (!check) return `its type is ${shown(type)}`;
  if (check.Check(message)) return message as Checked;
  const [first] = check.Errors(message);
  return `${type} has a bad ${first?.instancePath.slice(1).replaceAll('/', '.') || 'shape'}: it ${first?.message}`;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : typeof value;
}
