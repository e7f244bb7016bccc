// What is wrong with a request that was translated is told in its client's words: the field that it sent, not ours.

import { Problem, toProblem } from '../problems/problems.js';

export interface ClientName {
  /** The field that the client sent. */
  readonly field: string;
  /** How a sentence speaks of it, where that is not its name. */
  readonly phrase?: string;
}

/** By the name of our field, where the two differ. */
export type ClientNames = Readonly<Record<string, ClientName>>;

/** @returns the error, or a Problem that says the same of the client's fields */
export function inClientNames(error: unknown, names: ClientNames): unknown {
  const problem = toProblem(error as Error);
  const { errors } = problem.more;
  if (!errors?.some(({ pointer }) => nameOf(pointer, names))) return error;
  let message = problem.message;
  const renamed = errors.map((one) => {
    const name = nameOf(one.pointer, names);
    if (!name) return one;
    const ours = one.pointer.slice(2);
    const isSubject = one.detail.startsWith(`${ours} `);
    const detail = isSubject ? `${name.phrase ?? name.field}${one.detail.slice(ours.length)}` : one.detail;
    message = message.replace(one.detail, () => detail);
    return { pointer: `#/${name.field}`, detail };
  });
  return new Problem(problem.code, message, { ...problem.more, errors: renamed });
}

function nameOf(pointer: string, names: ClientNames): ClientName | undefined {
  const ours = pointer.slice(2);
  return Object.hasOwn(names, ours) ? names[ours] : undefined;
}
