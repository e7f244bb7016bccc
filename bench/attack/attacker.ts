// The attacking process of `npm run soak:attack`: it takes the name of an attack, says when it begins, and what came of it.

import { attackList, run } from './attacks.js';
import type { Target } from './sockets.js';

export interface Told {
  readonly name: string;
  readonly target: Target;
  readonly seconds: number;
}

process.on('message', async ({ name, target, seconds }: Told) => {
  const attack = attackList.find((one) => one.name === name)!;
  const outcomes = await run(attack, target, seconds, () => process.send!({ begun: true }));
  process.send!({ outcomes: Object.fromEntries(outcomes) });
});
