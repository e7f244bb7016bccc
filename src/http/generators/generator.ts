// A generator: a model with a way to use it, as NAME.generator.json says. Settings, not a model: the engine never hears of it.

import { type Static, Type } from 'typebox';
import { schedulerNames } from '../../engine/host/engine.js';
import { mistakesIn } from '../../json-mistakes.js';

/** Of the file's name, after the generator's. */
export const generatorEnding = '.generator.json';

/** Characters. A prompt itself has MAX_PROMPT_CHARS. */
const maxAddition = 500;

const closed = { additionalProperties: false };
const text = (maxLength: number) => Type.Optional(Type.String({ maxLength }));
const number = (minimum: number, maximum: number) => Type.Optional(Type.Number({ minimum, maximum }));
const count = (maximum: number) => Type.Optional(Type.Integer({ minimum: 1, maximum }));

const Schema = Type.Object(
  {
    base: Type.String({ minLength: 1, maxLength: 200 }),
    title: text(200),
    description: text(4000),
    license: text(200),
    picture: Type.Optional(Type.String({ pattern: '^[^./\\\\][^/\\\\]{0,200}\\.(png|jpg|jpeg|webp)$' })),
    prompt_prefix: text(maxAddition),
    prompt_suffix: text(maxAddition),
    negative_prompt: text(maxAddition),
    loras: Type.Optional(
      Type.Array(Type.Object({ name: Type.String({ minLength: 1, maxLength: 200 }), scale: number(-10, 10) }, closed), {
        maxItems: 8,
      }),
    ),
    defaults: Type.Optional(
      Type.Object(
        {
          influence: number(0, 100),
          strength: number(0, 1),
          guidance: number(0, 30),
          image_guidance: number(0, 30),
          steps: count(1000),
          scheduler: Type.Optional(Type.Enum(schedulerNames, { type: 'string' })),
        },
        closed,
      ),
    ),
    limits: Type.Optional(
      Type.Object({ steps: count(1000), guidance: number(0, 30), side: count(8192), pixels: count(2 ** 26) }, closed),
    ),
  },
  closed,
);
type Settings = Static<typeof Schema>;

export interface Generator extends Omit<Settings, 'defaults' | 'limits' | 'base'> {
  readonly name: string;
  /** The name of a model. */
  readonly base: string;
  /** What a request has that says nothing else. */
  readonly defaults: NonNullable<Settings['defaults']>;
  /** The most that a request may ask for: of sides and pixels the answer's. */
  readonly limits: NonNullable<Settings['limits']>;
  /** sha256 of its file. */
  readonly digest: string;
}

/** One that cannot be used, and why: a sentence without its end. */
export interface BrokenGenerator {
  readonly name: string;
  readonly reason: string;
}

/** @throws Error with what is wrong with the file's text, in one sentence without its end */
export function parseGenerator(name: string, file: string, text: string, digest: string): Generator {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // told below
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`${file} is not a JSON object`);
  }
  const mistakes = mistakesIn(value, Schema);
  const { defaults = {}, limits = {}, ...rest } = value as Settings;
  if (mistakes.length === 0) mistakes.push(...contradictions(defaults, limits));
  if (mistakes.length > 0) throw new Error(`${file}: ${mistakes.join('; ')}`);
  return { ...rest, name, defaults, limits, digest };
}

function contradictions(defaults: Generator['defaults'], limits: Generator['limits']): string[] {
  const named = (['influence', 'strength', 'image_guidance'] as const).filter((key) => defaults[key] !== undefined);
  const beyond = (['steps', 'guidance'] as const).filter((key) => (defaults[key] ?? 0) > (limits[key] ?? Infinity));
  return [
    ...(named.length > 1
      ? [`defaults has ${named.join(' and ')}, which are ${named.length === 2 ? 'two' : 'three'} names for one thing`]
      : []),
    ...beyond.map((key) => `defaults.${key} is ${defaults[key]}; limits.${key} is ${limits[key]}`),
  ];
}

/** The file's additions as they stand, with their own commas and spaces; round an empty prompt without those at their ends. */
export function wholePrompt({ prompt_prefix = '', prompt_suffix = '' }: Generator, prompt: string): string {
  if (prompt.trim() !== '') return prompt_prefix + prompt + prompt_suffix;
  const bare = [prompt_prefix, prompt_suffix].map((part) => part.replace(/^[\s,]+|[\s,]+$/g, ''));
  return bare.filter((part) => part !== '').join(', ');
}
