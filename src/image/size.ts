// Which size the output gets.

/** The sizes that a model can make; a range and a step in pixels. */
export interface Sizes {
  readonly native: number;
  readonly multiple: number;
  readonly min: number;
  readonly max: number;
}

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

/**
 * Neither side asked for: the starter's aspect at about the native area. One: the other follows the aspect. Both: those.
 * @throws SizeError for an asked side that is out of range or no multiple
 */
export function outputSize(
  starter: Size,
  asked: { width?: number | undefined; height?: number | undefined },
  sizes: Sizes,
): Size {
  if (asked.width !== undefined) check('width', asked.width, sizes);
  if (asked.height !== undefined) check('height', asked.height, sizes);
  const aspect = starter.width / starter.height;
  const width =
    asked.width ??
    fitting(asked.height === undefined ? sizes.native * Math.sqrt(aspect) : asked.height * aspect, sizes);
  const height =
    asked.height ?? fitting(asked.width === undefined ? sizes.native / Math.sqrt(aspect) : asked.width / aspect, sizes);
  return { width, height };
}

function fitting(side: number, { multiple, min, max }: Sizes): number {
  return Math.min(Math.max(Math.round(side / multiple) * multiple, min), max);
}

function check(field: 'width' | 'height', side: number, { multiple, min, max }: Sizes): void {
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
