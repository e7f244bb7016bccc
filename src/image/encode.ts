// Pixels -> png, jpeg, webp or avif, marked as made with a model.

import sharp from 'sharp';
import type { Pixels } from '../pixels.js';

export const formats = ['png', 'jpeg', 'webp', 'avif'] as const;
export type Format = (typeof formats)[number];

/** IPTC's terms for a picture that a model made of another picture, and for one that a model made. */
export type DigitalSourceType = 'compositeWithTrainedAlgorithmicMedia' | 'trainedAlgorithmicMedia';

/** Default quality of the lossy formats; AVIF's scale runs differently from JPEG's. */
const quality = { jpeg: 90, webp: 90, avif: 60 };

/** Nothing of the upload's metadata can be in the answer: it is written from bare pixels. */
export async function encode(pixels: Pixels, format: Format, source: DigitalSourceType): Promise<Buffer> {
  const { width, height } = pixels;
  const image = sharp(pixels.data, { raw: { width, height, channels: 3 } }).withXmp(provenance(source));
  switch (format) {
    case 'png':
      return image.png().toBuffer();
    case 'jpeg':
      return image.jpeg({ quality: quality.jpeg }).toBuffer();
    case 'webp':
      return image.webp({ quality: quality.webp }).toBuffer();
    case 'avif':
      return image.avif({ quality: quality.avif, effort: 2 }).toBuffer(); // libvips' default effort takes seconds
  }
}

function provenance(source: DigitalSourceType): string {
  return [
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"',
    ` Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/${source}"/>`,
    '</rdf:RDF></x:xmpmeta>',
  ].join('');
}
