// Reading a part's config.json: values by key, and the options that the written graphs do not have.

import type { Json } from '../folder/configs.js';
import { ModelFolderError } from '../folder/model-folder-error.js';

/** Limits of what a config may ask for: a graph is written before any weight is compared with it. */
const mostLevels = 8;
const mostLayers = 128;

export class ConfigValues {
  /** @param file for sentences, such as unet/config.json */
  constructor(
    private readonly config: Json,
    private readonly file: string,
  ) {}

  /** @throws ModelFolderError for a key that has another value than the ones that are understood; absent is understood */
  onlyUnderstands(options: Readonly<Record<string, readonly unknown[]>>): void {
    for (const [key, understood] of Object.entries(options)) {
      const value = this.config[key] ?? null;
      if (value !== null && !understood.includes(value)) this.fail(key, `not supported`, understood);
    }
  }

  count(key: string, absent?: number): number {
    const value = this.config[key] ?? absent;
    if (Number.isSafeInteger(value) && value > 0 && value < 2 ** 24) return value;
    return this.fail(key, 'not a count');
  }

  number(key: string, absent: number): number {
    const value = this.config[key] ?? absent;
    return typeof value === 'number' && Number.isFinite(value) ? value : this.fail(key, 'not a number');
  }

  flag(key: string, absent: boolean): boolean {
    const value = this.config[key] ?? absent;
    return typeof value === 'boolean' ? value : this.fail(key, 'not true or false');
  }

  optionalCount(key: string): number | undefined {
    return (this.config[key] ?? null) === null ? undefined : this.count(key);
  }

  word(key: string, understood: readonly string[], absent: string): string {
    const value = this.config[key] ?? absent;
    return understood.includes(value) ? value : this.fail(key, 'not supported', understood);
  }

  words(key: string, understood: readonly string[]): readonly string[] {
    return this.list(key, (value) => understood.includes(value as string), `supported: ${understood.join(', ')}`);
  }

  counts(key: string): readonly number[] {
    const right = (value: unknown) =>
      Number.isSafeInteger(value) && (value as number) > 0 && (value as number) < 2 ** 16;
    return this.list(key, right, 'counts');
  }

  /** One count for each level: a number stands for all. */
  countPerLevel(key: string, levels: number, absent: number): readonly number[] {
    const value = this.config[key] ?? absent;
    const counts = Array.isArray(value) ? value : Array(levels).fill(value);
    const right = counts.every((count) => Number.isSafeInteger(count) && count > 0 && count <= mostLayers);
    return right && counts.length === levels ? counts : this.fail(key, `not a count, or ${levels} of them`);
  }

  has(key: string): boolean {
    return (this.config[key] ?? null) !== null;
  }

  fail(key: string, what: string, understood: readonly unknown[] = []): never {
    const told = JSON.stringify(this.config[key] ?? null).slice(0, 100);
    const choices = understood.length > 0 ? ` (supported: ${understood.map(String).join(', ')})` : '';
    throw new ModelFolderError(`${this.file} has ${key} ${told}, which is ${what}${choices}`);
  }

  private list<T>(key: string, right: (value: unknown) => boolean, wanted: string): readonly T[] {
    const value = this.config[key];
    const fits = Array.isArray(value) && value.length > 0 && value.length <= mostLevels && value.every(right);
    return fits ? value : this.fail(key, `not a list of 1 to ${mostLevels} of what is understood; ${wanted}`);
  }
}
