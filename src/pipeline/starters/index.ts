// What becomes of a starter, by the word of its family.

import type { Family } from '../families/family.js';
import type { Begin } from './begin.js';
import { beside } from './beside.js';
import { context } from './context.js';
import { noised } from './noised.js';

export const begins: Readonly<Record<Family['starter'], Begin>> = { noised, beside, context };
