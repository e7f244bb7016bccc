// OpenAI's sizes on models that make others: many of its clients send one of these and know no other.

import type { Size } from '../../image/size.js';
import type { SizeRange } from '../../model-facts.js';

/** Those that OpenAI has names for. */
const openAiSizes: ReadonlySet<string> = new Set([
  '256x256',
  '512x512',
  '1024x1024',
  '1024x1536',
  '1536x1024',
  '1024x1792',
  '1792x1024',
]);

/**
 * @param asked `auto`, or width x height
 * @param maxPixels of an answer
 * @returns no size for `auto`; a size of OpenAI's that the model cannot make as the nearest that it can, every other as it is
 */
export function sizeAsked(
  asked: string,
  sizes: SizeRange,
  maxPixels: number,
): { readonly size?: Size; readonly adjusted: boolean } {
  const [width, height] = asked.split('x').map(Number);
  if (!width || !height) return { adjusted: false };
  const size = { width, height };
  if (!openAiSizes.has(asked) || isMade(size, sizes, maxPixels)) return { size, adjusted: false };
  return { size: nearest(size, sizes, maxPixels), adjusted: true };
}

function isMade({ width, height }: Size, { multiple, min, max }: SizeRange, maxPixels: number): boolean {
  const fits = (side: number) => side >= min && side <= max && side % multiple === 0;
  return fits(width) && fits(height) && width * height <= maxPixels;
}

/** The size that is scaled as little as can be, and of those around it the one of the nearest aspect. */
function nearest({ width, height }: Size, { multiple, min, max }: SizeRange, maxPixels: number): Size {
  const shrunk = Math.min(1, max / Math.max(width, height), Math.sqrt(maxPixels / (width * height)));
  const scale = shrunk < 1 ? shrunk : Math.max(1, min / Math.min(width, height));
  const around = (side: number) =>
    [Math.floor, Math.ceil].map((round) => Math.min(Math.max(round((side * scale) / multiple) * multiple, min), max));
  const sizes = around(width).flatMap((w) => around(height).map((h) => ({ width: w, height: h })));
  const affordable = sizes.filter((one) => one.width * one.height <= maxPixels);
  const distance = (one: Size) => Math.abs(Math.log((one.width * height) / (one.height * width)));
  return (affordable.length > 0 ? affordable : sizes).reduce((best, one) => {
    const nearer = distance(one) - distance(best);
    return nearer < 0 || (nearer === 0 && one.width > best.width) ? one : best;
  });
}
