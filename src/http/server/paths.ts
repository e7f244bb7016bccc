// Paths as clients of other services build them from a base address: with a slash too many between its parts, or one at the end.

/** @param url of a request, its query included @returns the same for our own paths; without needless slashes for the facades' */
export function plainPath(url: string): string {
  const [path] = /^[^?#]*/.exec(url)!;
  if (!/^\/+(sdapi|v1)(\/|$)/.test(path)) return url;
  return path.replace(/\/{2,}/g, '/').replace(/\/$/, '') + url.slice(path.length);
}
