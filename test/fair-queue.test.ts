import t from 'tap';
import { FairQueue, type Queued } from '../src/fair-queue.js';

interface Item extends Queued {
  readonly name: string;
}
let groups = 0;
const groupOf = (caller: string, names: string, work = 1): Item[] => {
  const group = groups++;
  return [...names].map((name) => ({ name, caller, group, work }));
};
const fill = (...lists: Item[][]) => {
  const queue = new FairQueue<Item>();
  for (const item of lists.flat()) queue.add(item);
  return queue;
};
const drain = (queue: FairQueue<Item>, count = Number.POSITIVE_INFINITY) => {
  let order = '';
  for (let i = 0; i < count; i++) {
    const next = queue.peek();
    const item = queue.take();
    if (item !== next) throw new Error('peek and take differ');
    if (!item) break;
    order += item.name;
  }
  return order;
};

t.test('equals leave in the order in which they came', async (t) => {
  t.equal(drain(fill(groupOf('', 'a'), groupOf('', 'b'), groupOf('', 'c'))), 'abc');
});

t.test('requests of one caller take turns, picture by picture', async (t) => {
  t.equal(drain(fill(groupOf('', 'ABCD'), groupOf('', 'x'), groupOf('', 'y'))), 'AxyBCD');
});

t.test('turns are counted by work, not by pictures', async (t) => {
  t.equal(drain(fill(groupOf('', 'ABC', 10), groupOf('', 'uvwxyz', 5))), 'AuvBwxCyz');
});

t.test('callers take turns, however many requests each has', async (t) => {
  const many = [...'abcdef'].map((name) => groupOf('one', name));
  t.equal(drain(fill(...many, groupOf('two', 'x'), groupOf('two', 'y'))), 'axbycdef');
});

t.test('small requests that keep coming do not starve a large one, nor it them', async (t) => {
  const queue = fill(groupOf('', 'ABCDEFGH', 4));
  let order = '';
  for (let i = 0; i < 40; i++) {
    queue.add(groupOf('', 's')[0]!);
    queue.add(groupOf('', 's')[0]!);
    order += drain(queue, 2);
  }
  t.match(order, /A.*B.*C.*D/, order);
  t.match(order.slice(0, 6), /s/, 'and the first small one came soon');
});

t.test('who comes anew starts level with the others', async (t) => {
  const queue = fill(groupOf('', 'ABCDEF'));
  t.equal(drain(queue, 3), 'ABC');
  for (const item of groupOf('', 'xyz')) queue.add(item);
  t.equal(drain(queue), 'DxEyFz', 'no credit for the time before');
});

t.test('who comes now and then waits for no more than one of a crowd that is always there', async (t) => {
  const queue = fill(groupOf('crowd', 'aaaaaaaa'));
  for (let round = 0; round < 50; round++) {
    queue.add(groupOf('now and then', 'X', 4)[0]!);
    let before = 0;
    for (let name = drain(queue, 1); name !== 'X'; name = drain(queue, 1)) {
      before++;
      queue.add(groupOf('crowd', 'a')[0]!);
    }
    t.ok(before <= 1, `round ${round}: ${before}`);
    for (let i = 0; i < 9; i++) {
      t.equal(drain(queue, 1), 'a');
      queue.add(groupOf('crowd', 'a')[0]!);
    }
  }
});

t.test('who comes back at once waits until the others have got as much', async (t) => {
  const queue = fill(groupOf('one', 'A', 4), groupOf('two', 'uvwxyz'));
  t.equal(drain(queue, 1), 'A');
  queue.add(groupOf('one', 'B', 4)[0]!);
  t.match(drain(queue), /^uvwx?y?By?z?/);
});

t.test('what lost its worker goes first, and what is removed is gone', async (t) => {
  const [a, b] = [groupOf('', 'a')[0]!, groupOf('', 'b')[0]!];
  const queue = fill([a, b]);
  const again = groupOf('', 'r')[0]!;
  queue.addAgain(again);
  t.strictSame([...queue].map(({ name }) => name).join(''), 'rab');
  t.equal(queue.size, 3);
  t.ok(queue.remove(a));
  t.notOk(queue.remove(a));
  t.equal(drain(queue), 'rb');
  t.equal(queue.size, 0);
});
