import t from 'tap';
import { checkMessage } from '../../src/engine/host/message-check.js';
import type { FromWorker, LoraEntry, ModelInfo } from '../../src/engine/shared/messages.js';

const pixels = { data: new Uint8Array(2 * 3 * 3), width: 2, height: 3 };
const info: ModelInfo = {
  name: 'tiny',
  title: 'Tiny',
  description: '',
  kind: 'sd',
  exporter: 'optimum',
  precision: 'fp32',
  parts: [{ part: 'unet', format: 'safetensors', weights: ['bf16', 'fp32'], computes: 'fp32' }],
  rules: { schedule: 'part', guidance: 'prompts', masks: true },
  license: 'MIT',
  runnable: true,
  loaded: true,
  digest: 'abc',
  stamp: 'abc',
  size: { native: 32, multiple: 16, min: 16, max: 64 },
  defaults: { steps: 20, guidance: 7.5, strength: 0.75, imageGuidance: 1.5, scheduler: 'ddim' },
  loraFamily: 'sd1',
  safetyChecker: false,
  textEncodersOf: 'lender',
  schedulerConfig: { num_train_timesteps: 1000 },
  capacities: [{ width: 32, height: 32, maxRows: 2, calls: [{ rows: 1, ms: 2.5 }] }],
  memoryNeeds: [{ pixels: 1024, bytes: 1e6 }],
  changeMs: 650,
};
const loras: readonly LoraEntry[] = [
  { name: 'a', runnable: true, family: 'sdxl', rank: 16, triggerWords: ['ink'], digest: 'abc', stamp: '1 2' },
  { name: 'b', runnable: false, reason: 'it is a LoKr' },
];
const timings = { textEncode: 1, vaeEncode: 1, denoise: 1, vaeDecode: 1, safetyCheck: 1 };
const droppedTokens = { prompt: 0, negativePrompt: 0 };
const embeddings = { used: [], unfit: [] };
const result = {
  pixels,
  drawUnseeded: false,
  droppedTokens,
  beyondClip: { prompt: 0, negativePrompt: 0 },
  embeddings,
  unetCalls: 3,
  unusedLoraKeys: 0,
  loraWay: 'none' as const,
  flagged: false,
  modelLoadMs: 0,
  timings,
  modelRunMs: 2,
};

/** One of each. */
const messages: { [T in FromWorker['type']]: Extract<FromWorker, { type: T }> } = {
  models: { type: 'models', models: [info], loras, problem: undefined, onnxruntime: '1.30.0' },
  lora: { type: 'lora', lora: loras[0]! },
  embeddings: {
    type: 'embeddings',
    embeddings: [
      { name: 'look', runnable: true, vectors: 2, widths: [768] },
      { name: 'old.pt', runnable: false, reason: 'it is a pickle' },
    ],
  },
  ready: { type: 'ready' },
  model: { type: 'model', model: { name: 'tiny', runnable: false, reason: 'it is broken' } },
  busy: { type: 'busy', doing: 'run' },
  step: { type: 'step', model: 'tiny', pixels: 1024, rows: 2, ms: 12.5, changedShape: false },
  modelLoaded: { type: 'modelLoaded', model: 'tiny', component: 'vae_decoder', ms: 1 },
  promptCache: { type: 'promptCache', hits: 0, misses: 2 },
  memory: { type: 'memory', bytes: 1e8, freeBytes: 1e9 },
  fatal: { type: 'fatal', reason: 'oom', message: 'out of memory' },
  progress: { type: 'progress', id: 7, progress: { step: 1, steps: 3, preview: pixels } },
  done: { type: 'done', id: 7, result },
  failed: { type: 'failed', id: 7, code: 'internal', message: 'why' },
  aborted: { type: 'aborted', id: 7 },
};

/** Every value in a message, by its path. */
function* paths(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (path.length > 0) yield path;
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) yield* paths(inner, [...path, key]);
}

function changed(
  message: object,
  path: readonly string[],
  change: (holder: Record<string, unknown>, key: string) => void,
) {
  const copy = structuredClone(message) as Record<string, unknown>;
  const holder = path.slice(0, -1).reduce((at, key) => at[key] as Record<string, unknown>, copy);
  change(holder, path.at(-1)!);
  return copy;
}

const wrong = [
  null,
  undefined,
  Number.NaN,
  -1,
  1.5,
  Number.POSITIVE_INFINITY,
  '',
  'x'.repeat(200_000),
  true,
  [],
  {},
  new Map(),
  new Uint8Array(1),
];
/** Where a wrong value is right after all. */
const allowed: readonly [path: RegExp, values: readonly unknown[]][] = [
  [
    /^(model|models\.0|embeddings\.1|loras\.\d|lora)\.(title|description|exporter|stamp|reason)$|^onnxruntime$|^message$|triggerWords\.0$/,
    ['', 'x'.repeat(200_000)],
  ],
  [/license$/, ['', 'x'.repeat(200_000), null]],
  [/loraFamily$/, [null]],
  [/^problem$/, ['', 'x'.repeat(200_000), undefined]],
  [
    /(loaded|masks|safetyChecker|flagged|drawUnseeded|changedShape|((models|embeddings|loras)\.0|lora)\.runnable)$/,
    [true],
  ],
  [/(size\.\w+|defaults\.(steps|guidance|strength|imageGuidance))$/, [-1, 1.5]],
  [/(ms|changeMs|bytes|freeBytes|textEncode|vaeEncode|denoise|vaeDecode|safetyCheck|modelLoadMs|modelRunMs)$/, [1.5]],
  [
    /(strength|imageGuidance|maxRows|freeBytes|preview|flagged|capacities|memoryNeeds|changeMs|textEncodersOf)$/,
    [undefined],
  ],
  [/(models|capacities|calls|memoryNeeds|embeddings|widths|used|unfit|loras|triggerWords|parts|weights)$/, [[]]],
  [/schedulerConfig$/, [{}, new Map(), new Uint8Array(1)]],
  [/schedulerConfig\./, wrong],
];
const isAllowed = (path: string, value: unknown) =>
  allowed.some(
    ([pattern, values]) =>
      pattern.test(path) &&
      values.some(
        (one) =>
          Object.is(one, value) ||
          (typeof one === 'object' &&
            one !== null &&
            typeof value === 'object' &&
            value !== null &&
            one.constructor === value.constructor),
      ),
  );

t.test('every message of a healthy worker passes', async (t) => {
  for (const message of Object.values(messages)) t.equal(checkMessage(message), message, message.type);
  const { capacities: _, memoryNeeds: __, changeMs: ___, ...unmeasured } = info;
  t.type(checkMessage({ type: 'model', model: unmeasured }), 'object');
  t.type(checkMessage({ type: 'memory', bytes: 1, freeBytes: undefined }), 'object');
});

for (const message of Object.values(messages)) {
  t.test(`${message.type}: a wrong value anywhere is refused with a sentence`, async (t) => {
    for (const path of paths(message)) {
      const where = path.join('.');
      for (const value of wrong) {
        const answer = checkMessage(changed(message, path, (holder, key) => (holder[key] = value)));
        const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 5)) : String(value);
        if (isAllowed(where, value)) continue;
        if (typeof answer !== 'string') t.fail(`${where} ${shown} passed`);
      }
      const last = path.at(-1)!;
      const optional =
        /^(maxRows|freeBytes|preview|flagged|capacities|memoryNeeds|changeMs|num_train_timesteps|problem|strength|imageGuidance|textEncodersOf)$/.test(
          last,
        ) || /^\d+$/.test(last);
      const missing = checkMessage(changed(message, path, (holder, key) => delete holder[key]));
      if (!optional) t.type(missing, 'string', `${where} is missing`);
    }
    t.type(checkMessage({ ...message, beside: 1 }), 'string', 'what it has beside');
  });
}

t.test('what is no message at all is refused', async (t) => {
  for (const [value, reason] of [
    [null, 'its type is undefined'],
    [undefined, 'its type is undefined'],
    [3, 'its type is undefined'],
    ['ready', 'its type is undefined'],
    [[], 'its type is undefined'],
    [{ type: 'toString' }, 'its type is "toString"'],
    [{ type: 'x'.repeat(1e6) }, `its type is "${'x'.repeat(40)}"`],
    [{ type: {} }, 'its type is object'],
  ] as const)
    t.equal(checkMessage(value), reason);
});

t.test('a picture has the bytes that its sides say', async (t) => {
  for (const [width, height] of [
    [3, 3],
    [1e9, 1e9],
    [6, 0.5],
  ])
    t.type(checkMessage({ ...messages.done, result: { ...result, pixels: { ...pixels, width, height } } }), 'string');
});
