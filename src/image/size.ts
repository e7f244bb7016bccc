// Which size the output gets.

import type { SizeRange } from '../model-facts.js';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A side that the model cannot make: which, and a sentence that names what it can. */
export class SizeError extends Error {
  constructor(
    readonly field: 'width' | 'height',
    message: string,
  ) {
    super(message);
  }
}

/** How far the area of a size that nobody asked for may be from the native one. */
const areaTolerance = 0.25;

/**
 * Neither side asked for: of the sizes whose area is within a quarter of the native one that with the starter's aspect, or the
 * nearest to it. One: the other follows the aspect. Both: those.
 * @throws SizeError for an asked side that is out of range or no multiple
 */
export function outputSize(
  starter: Size,
  asked: { width?: number | undefined; height?: number | undefined },
  sizes: SizeRange,
): Size {
  const { width, height } = asked;
  if (width !== undefined) check('width', width, sizes);
  if (height !== undefined) check('height', height, sizes);
  const aspect = starter.width / starter.height;
  if (width !== undefined) return { width, height: height ?? fitting(width / aspect, sizes) };
  if (height !== undefined) return { width: fitting(height * aspect, sizes), height };
  return nearest(aspect, sizes);
}

/** By the ratio of the aspects, then of the areas; of equals the smaller. */
function nearest(aspect: number, sizes: SizeRange): Size {
  const { native, multiple, min, max } = sizes;
  const off = (actual: number, wanted: number) => Math.abs(Math.log(actual / wanted));
  let best: { size: Size; aspect: number; area: number } | undefined;
  for (let width = Math.ceil(min / multiple) * multiple; width <= max; width += multiple) {
    for (let height = Math.ceil(min / multiple) * multiple; height <= max; height += multiple) {
      const area = (width * height) / native ** 2;
      if (Math.abs(area - 1) > areaTolerance) continue;
      const found = { size: { width, height }, aspect: off(width / height, aspect), area: off(area, 1) };
      const closer = best ? found.aspect - best.aspect : -1;
      if (closer < -1e-9 || (closer < 1e-9 && found.area < best!.area - 1e-9)) best = found;
    }
  }
  // A model whose range is beside its native size.
  return best?.size ?? { width: fitting(native, sizes), height: fitting(native, sizes) };
}

/** @returns what `cover` cuts off a starter for this size, as a share of its area: 0 to 1 */
export function coverCuts(starter: Size, size: Size): number {
  const ratio = starter.width / starter.height / (size.width / size.height);
  return 1 - Math.min(ratio, 1 / ratio);
}

function fitting(side: number, { multiple, min, max }: SizeRange): number {
  return Math.min(Math.max(Math.round(side / multiple) * multiple, min), max);
}

function check(field: 'width' | 'height', side: number, { multiple, min, max }: SizeRange): void {
  if (side < min || side > max) {
    throw new SizeError(field, `${field} is ${side}; this model makes ${min} to ${max}, in steps of ${multiple}.`);
  }
  if (side % multiple !== 0) {
    const below = Math.floor(side / multiple) * multiple;
    const near = [below, below + multiple].filter((value) => value >= min && value <= max);
    throw new SizeError(
      field,
      `${field} is ${side}; it must be a multiple of ${multiple}. The nearest: ${near.join(' and ')}.`,
    );
  }
}
