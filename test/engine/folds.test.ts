import t from 'tap';
import { Folds } from '../../src/engine/host/folds.js';

const job = (scale: number, model = 'a') => ({ model, request: { loras: [{ name: 'ink', digest: 'abc', scale }] } });

t.test('a set that no worker was asked for costs its fold, and one that a worker was asked for does not', (t) => {
  const folds = new Folds(2);
  t.equal(folds.workOf({ model: 'a', request: {} }), 0, 'who names none folds none');
  t.equal(folds.workOf(job(1)), 1000, 'nothing is known yet');
  folds.folded(job(1), 400);
  t.equal(folds.workOf(job(1)), 400);
  t.equal(folds.workOf(job(1, 'b')), 1000, 'of another model');
  folds.sent(3, job(1));
  t.equal(folds.workOf(job(1)), 0);
  t.ok(folds.has(3, job(1)));
  t.notOk(folds.has(0, job(1)), 'another worker has its own');
  t.ok(folds.has(0, { model: 'a', request: {} }));
  t.equal(folds.workOf(job(0.5)), 400, 'another scale is another set');
  folds.folded(job(1), 800);
  t.equal(folds.workOf(job(0.5)), 520, 'times are a running mean');
  t.end();
});

t.test('a set that is known to run beside the weights takes nothing, on any worker and at any scale', (t) => {
  const folds = new Folds(2);
  folds.neverFolds(job(1));
  for (const scale of [1, 0.5, -3]) {
    t.equal(folds.workOf(job(scale)), 0);
    t.ok(folds.has(7, job(scale)));
  }
  t.equal(folds.workOf(job(1, 'b')), 1000, 'with another model it is another set');
  t.end();
});

t.test('a worker keeps the sets that it was asked for last, until it is replaced', (t) => {
  const folds = new Folds(2);
  for (const scale of [1, 2, 1, 3]) folds.sent(0, job(scale));
  t.strictSame(
    [1, 2, 3].map((scale) => folds.has(0, job(scale))),
    [true, false, true],
  );
  folds.forget(0);
  t.notOk(folds.has(0, job(1)));
  t.end();
});
