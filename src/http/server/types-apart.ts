// What the OpenAPI document says of a value that may be of several types: a schema for each. The validator takes them together,
// which keeps its errors short, but generators of clients know no list of types.

/** What belongs to a type alone. */
const keywords: Readonly<Record<string, readonly string[]>> = {
  string: ['minLength', 'maxLength', 'pattern', 'format', 'enum'],
  array: ['items', 'minItems', 'maxItems'],
};
const own = Object.values(keywords).flat();

/** @param schema plain JSON @returns the same with `anyOf` in the place of every list of types */
export function typesApart<T>(schema: T): T {
  if (Array.isArray(schema)) return schema.map(typesApart) as T;
  if (typeof schema !== 'object' || schema === null) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, typesApart(value)]));
  if (!Array.isArray(copy.type)) return copy as T;
  const { type: types, ...rest } = copy;
  const pick = (wanted: (key: string) => boolean) =>
    Object.fromEntries(Object.entries(rest).filter(([key]) => wanted(key)));
  return {
    ...pick((key) => !own.includes(key)),
    anyOf: types.map((type: string) => ({ type, ...pick((key) => keywords[type]?.includes(key) ?? false) })),
  } as T;
}
