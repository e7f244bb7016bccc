// Paths as clients of other services build them from a base address: with a slash too many between its parts, or one at the end.

/** Characters of a part of a path that is a name, as the schemas say it. */
export const longestPathPart = 200;

/** @param url of a request, its query included @returns the same for our own paths; without needless slashes for the facades' */
export function plainPath(url: string): string {
  const [path] = /^[^?#]*/.exec(url)!;
  if (!/^\/+(sdapi|v1)(\/|$)/.test(path)) return url;
  return path.replace(/\/{2,}/g, '/').replace(/\/$/, '') + url.slice(path.length);
}
