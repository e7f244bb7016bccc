// What one entry of the table of fields says (fields.ts): all that there is to know of a field of a request, in one place.

import type { Static, TSchema } from 'typebox';
import type { Config } from '../../config.js';
import type { LoraInfo, ModelInfo } from '../../engine/host/engine.js';
import type { Size } from '../../image/size.js';

export interface Field<S extends TSchema = TSchema, Value = unknown> {
  /** Type, range, default and meaning, as both body forms and the OpenAPI document have them. */
  readonly schema: (config: Config) => S;
  /** What it comes to. @throws Problem for what cannot be */
  settle(sent: Static<S> | undefined, among: Settling): Value | Promise<Value>;
  /** Its meaning where the answer tells what it came to: in JSON under its name, and as a header `Img2img-Name`; undefined is not told. */
  readonly told?: string;
  /** Not told of every picture. */
  readonly maybeAbsent?: true;
  /** A sheet may take its values along an axis. */
  readonly swept?: true;
  /** A sheet does not have it. */
  readonly notInSheets?: true;
  /** /v1 takes it too, under this name. */
  readonly onV1?: true;
  /** A line on a sheet; the name and the value if absent. @param swept fields that change on it @returns '' for none */
  caption?(value: Value, values: Readonly<Record<string, unknown>>, swept: readonly string[]): string;
}

/** What a field is settled among. */
export interface Settling {
  /** All fields as they were sent: absent is absent, no default is filled in. */
  readonly sent: Readonly<Record<string, unknown>>;
  readonly model: ModelInfo;
  /** The LoRA of that name. @throws EngineError for one that is not there, or not for this model */
  readonly lora: (name: string) => LoraInfo;
  readonly maxLoras: number;
  /** Of the answer. */
  readonly size: Size;
}

/** Fields by name, in the order in which they are shown. */
// biome-ignore lint/suspicious/noExplicitAny: an entry's types are its own; who reads a table of any does not know them
export type FieldTable = Readonly<Record<string, Field<any, any>>>;

/** Keeps the types of an entry. */
export const field = <S extends TSchema, Value>(entry: Field<S, Value>): Field<S, Value> => entry;

/** What a body has of a table's fields. */
export type SentOf<Table extends FieldTable> = {
  readonly [Name in keyof Table]?: Static<ReturnType<Table[Name]['schema']>>;
};

/** What a table's fields come to. */
export type ValuesOf<Table extends FieldTable> = {
  readonly [Name in keyof Table]: Awaited<ReturnType<Table[Name]['settle']>>;
};
