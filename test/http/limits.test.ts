// The table's limits hold whatever a path makes of its body.

import t from 'tap';
import { readConfig } from '../../src/config.js';
import { EngineError } from '../../src/engine/host/engine.js';
import { inClientNames } from '../../src/http/pictures/client-names.js';
import { fields } from '../../src/http/pictures/fields.js';
import { limitsOf } from '../../src/http/pictures/limits.js';
import { eachSeed } from '../../src/http/pictures/parameters.js';
import { fieldProblem, type Problem } from '../../src/http/problems/problems.js';

const hold = limitsOf(fields, readConfig({ MODELS_DIR: 'models' }));
const problemOf = (work: () => unknown): Problem | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return error as Problem;
  }
};

t.test('every limit of the table is held', async (t) => {
  for (const [field, value, message] of [
    ['steps', 151, 'steps is 151; it must be at most 150.'],
    ['steps', 0, 'steps is 0; it must be at least 1.'],
    ['steps', 2.5, 'steps is 2.5; it must be an integer.'],
    ['strength', 5, 'strength is 5; it must be at most 1.'],
    ['strength', Number.NaN, 'strength is NaN; it must be a number.'],
    ['guidance', Number.POSITIVE_INFINITY, 'guidance is Infinity; it must be a number.'],
    ['guidance', -1, 'guidance is -1; it must be at least 0.'],
    ['influence', 101, 'influence is 101; it must be at most 100.'],
    ['seed', Number.NaN, 'seed is NaN; it must be an integer.'],
    ['seed', 2 ** 32, 'seed is 4294967296; it must be at most 4294967295.'],
    ['n', 9, 'n is 9; it must be at most 8.'],
    ['width', 0.5, 'width is 0.5; it must be an integer.'],
    ['quality', 0, 'quality is 0; it must be at least 1.'],
    ['prompt', 7, 'prompt is 7; it must be a string.'],
    ['prompt', 'p'.repeat(2001), /^prompt is "p+… \(2001 characters\); it must have at most 2000 characters\.$/],
    ['scheduler', 'none', /^scheduler is "none"; it must be one of /],
    ['dry_run', 1, 'dry_run is 1; it must be a boolean.'],
  ] as const) {
    const problem = problemOf(() => hold({ [field]: value }));
    t.match(problem, { code: 'invalid_request', message, more: { errors: [{ pointer: `#/${field}` }] } }, field);
  }
  t.equal(
    problemOf(() => hold({ steps: 150, strength: 1, seed: 2 ** 32 - 1, prompt: '', width: undefined })),
    undefined,
  );
});

t.test('a count that is none makes no bodies', async (t) => {
  for (const count of [9, 3_000_000, 0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.match(
      problemOf(() => eachSeed({}, count, 8)),
      { message: `n is ${count}; it must be from 1 to 8.` },
    );
  }
  t.equal(eachSeed({ seed: 2 ** 32 - 1 }, 2, 8)[1]!.seed, 0);
});

t.test("problems are told of the client's fields", async (t) => {
  const names = { steps: { field: 'passes' }, width: { field: 'size', phrase: "size's width" } };
  const renamed = (work: () => unknown) => inClientNames(problemOf(work), names) as Problem;
  t.match(
    renamed(() => hold({ steps: 900, width: 0, seed: -2 })),
    {
      message: /passes is 900; .*size's width is 0; /,
      more: { errors: [{ pointer: '#/passes' }, { pointer: '#/seed' }, { pointer: '#/size' }] },
    },
  );
  const other = fieldProblem('unsupported_combination', 'width', 'The answer would have too many pixels.');
  t.match(inClientNames(other, names), { message: other.message, more: { errors: [{ pointer: '#/size' }] } });
  for (const error of [
    new EngineError('cancelled', 'Left.'),
    new Error('a fault'),
    fieldProblem('internal', 'n', 'n.'),
  ])
    t.equal(inClientNames(error, names), error, 'what names none of them is the same error');
});
