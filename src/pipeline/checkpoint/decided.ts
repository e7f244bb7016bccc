// Values that several places may say, with the place that did.

export interface Decided<T> {
  readonly value: T;
  /** For people: a file, a key of the metadata, a tensor, a default. */
  readonly from: string;
}

/** The first choice that has a value; the last one must. */
export function firstOf<T>(...choices: readonly (readonly [value: T | undefined, from: string])[]): Decided<T> {
  const choice = choices.find(([value]) => value !== undefined);
  if (!choice) throw new RangeError('no choice has a value');
  return { value: choice[0] as T, from: choice[1] };
}
