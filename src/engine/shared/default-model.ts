// Which model runs where nobody names one.

/** Ships with the server, and is what its documents show. */
const shipped = 'paintbox';

/**
 * The default first: the one that is chosen, else paintbox where it is, else the first by name.
 * @param models in the order of their names
 * @param chosen DEFAULT_MODEL
 */
export function defaultFirst<T extends { readonly name: string }>(
  models: readonly T[],
  chosen = shipped,
): readonly T[] {
  return [...models.filter(({ name }) => name === chosen), ...models.filter(({ name }) => name !== chosen)];
}
