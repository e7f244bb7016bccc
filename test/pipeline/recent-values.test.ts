import t from 'tap';
import { RecentValues } from '../../src/pipeline/recent-values.js';

t.test('the least recently used values leave when the bytes are used up', async (t) => {
  const cache = new RecentValues<number>(10);
  cache.set('a', 1, 4);
  cache.set('b', 2, 4);
  t.equal(cache.get('a'), 1);
  cache.set('c', 3, 4);
  t.strictSame([cache.get('a'), cache.get('b'), cache.get('c')], [1, undefined, 3], 'b was used longest ago');
  cache.set('c', 4, 6);
  t.strictSame([cache.get('a'), cache.get('c')], [1, 4], 'a value that is set again counts once');
  cache.set('huge', 5, 11);
  t.strictSame([cache.get('huge'), cache.get('a')], [undefined, 1], 'what does not fit drives nothing out');
  t.strictSame([cache.hits, cache.misses], [6, 2]);
});
