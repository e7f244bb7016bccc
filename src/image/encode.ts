// Pixels -> png, jpeg, webp or avif, marked as made with a model.

import sharp from 'sharp';
import type { Pixels } from '../pixels.js';
import type { Size } from './size.js';

export const formats = ['png', 'jpeg', 'webp', 'avif'] as const;
export type Format = (typeof formats)[number];

/** IPTC's terms for a picture that a model made of another picture, and for one that a model made. */
export type DigitalSourceType = 'compositeWithTrainedAlgorithmicMedia' | 'trainedAlgorithmicMedia';

/** 1..100; PNG has none and is lossless. AVIF's scale runs differently from JPEG's. */
export const defaultQuality = { png: 100, jpeg: 90, webp: 90, avif: 60 } as const satisfies Record<Format, number>;

export interface Encoding {
  readonly format: Format;
  /** 1..100, of the lossy formats */
  readonly quality?: number;
  readonly source: DigitalSourceType;
  /** What ran, to be embedded as JSON. */
  readonly parameters?: object | undefined;
}

/** Nothing of the upload's metadata can be in the answer: it is written from bare pixels. */
export async function encode(pixels: Pixels, { format, source, parameters, ...rest }: Encoding): Promise<Buffer> {
  const { width, height } = pixels;
  const quality = rest.quality ?? defaultQuality[format];
  const image = sharp(pixels.data, { raw: { width, height, channels: 3 } }).withXmp(provenance(source, parameters));
  switch (format) {
    case 'png':
      // Filters make rows that pack well: less time and smaller files than packing harder without them.
      return image.png({ adaptiveFiltering: true, compressionLevel: 2 }).toBuffer();
    case 'jpeg':
      return image.jpeg({ quality }).toBuffer();
    case 'webp':
      return image.webp({ quality }).toBuffer();
    case 'avif':
      return image.avif({ quality, effort: 2 }).toBuffer(); // libvips' default effort takes seconds
  }
}

/**
 * A preview is small and short-lived: it carries no mark.
 * @param size to scale it to
 */
export function encodePreview({ data, width, height }: Pixels, format: Format = 'png', size?: Size): Promise<Buffer> {
  const image = sharp(data, { raw: { width, height, channels: 3 } });
  if (size) image.resize(size.width, size.height, { fit: 'fill', kernel: 'cubic' });
  return image.toFormat(format).toBuffer();
}

function provenance(source: DigitalSourceType, parameters: object | undefined): string {
  return [
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"',
    ` Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/${source}"`,
    parameters ? ` xmlns:img2img="urn:img2img:parameters" img2img:Parameters="${attribute(parameters)}"` : '',
    '/></rdf:RDF></x:xmpmeta>',
  ].join('');
}

/** JSON in ASCII, with entities for what an XML attribute cannot hold. */
function attribute(value: object): string {
  return JSON.stringify(value)
    .replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
