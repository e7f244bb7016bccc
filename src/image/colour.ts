// Colours as people write them.

import sharp from 'sharp';

export type Rgb = readonly [red: number, green: number, blue: number]; // 0..255

/** `#rgb`, `#rrggbb` or a CSS name -> RGB; undefined for everything else, what is transparent included. */
export async function parseColour(text: string): Promise<Rgb | undefined> {
  if (!/^(#[0-9a-f]{3}|#[0-9a-f]{6}|[a-z]+)$/i.test(text) || text.toLowerCase() === 'transparent') return undefined;
  try {
    const pixel = sharp({ create: { width: 1, height: 1, channels: 3, background: text } });
    const [red, green, blue] = await pixel.raw().toBuffer();
    return [red!, green!, blue!];
  } catch {
    return undefined;
  }
}
