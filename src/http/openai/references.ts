// JSON of OpenAI's newer clients names its pictures by reference: `images: [{image_url}]`, `mask: {image_url}`. A data: URL is the
// picture itself; nothing else is looked up here.

import { Type } from 'typebox';
import { fieldProblem, shown } from '../problems/problems.js';

export const ImageReference = Type.Object(
  { image_url: Type.String({ description: 'A `data:` URL with the picture in base64. Nothing is fetched.' }) },
  { $id: 'ImageReference', description: 'A picture. `file_id` is refused: no files are stored.' },
);

const example = '{"image_url": "data:image/png;base64,…"}';

/**
 * Refuses what the schema would refuse without a word of help.
 * @throws Problem that says what to send
 */
export function checkReferences(body: Readonly<Record<string, unknown>>): void {
  const { image, images, mask } = body;
  if (present(image)) refuse('image', `image is a part of the form; in JSON send "images": [${example}].`);
  if (present(images)) {
    if (!Array.isArray(images)) refuse('images', `images is ${shown(images)}; it must be a list: [${example}].`);
    else if (images.length !== 1) refuse('images', `images has ${images.length} entries; one picture is taken.`);
    else checkReference('images[0]', images[0]);
  }
  if (present(mask)) checkReference('mask', mask);
}

function checkReference(field: string, reference: unknown): void {
  if (typeof reference !== 'object' || reference === null || Array.isArray(reference)) {
    refuse(field, `${field} is ${shown(reference)}; it must be ${example}.`);
  }
  const { file_id, image_url } = reference as Readonly<Record<string, unknown>>;
  if (present(file_id)) {
    refuse(`${field}.file_id`, `${field}.file_id: no files are stored here; send the picture itself: ${example}.`);
  }
  if (typeof image_url !== 'string') {
    const is = present(image_url) ? `is ${shown(image_url)}` : 'is missing';
    refuse(`${field}.image_url`, `${field}.image_url ${is}; send the picture itself: ${example}.`);
  }
  const scheme = /^[a-z][a-z0-9+.-]{0,20}(?=:)/i.exec(image_url)?.[0].toLowerCase();
  if (scheme === 'data') return;
  const is = scheme ? `has the scheme ${scheme}:, and nothing is fetched here` : 'is no URL';
  refuse(`${field}.image_url`, `${field}.image_url ${is}; send the picture itself: ${example}.`);
}

const present = (value: unknown) => value !== undefined && value !== null;

function refuse(field: string, detail: string): never {
  throw fieldProblem('invalid_request', field, detail);
}
