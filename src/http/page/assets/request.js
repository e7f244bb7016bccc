// A request as plain values, and the two bodies that it can be sent as.

/**
 * @typedef {Record<string, string | number | boolean>} Fields in the names of POST /img2img
 * @typedef {{ fields: Fields, image: File, mask?: File | undefined }} Request
 */

/**
 * @param {Request} request
 * @param {Fields} [more]
 */
export function asForm({ fields, image, mask }, more = {}) {
  const form = new FormData();
  form.append('image', image, image.name);
  if (mask) form.append('mask', mask, mask.name);
  for (const [name, value] of Object.entries({ ...fields, ...more })) form.append(name, String(value));
  return form;
}

/**
 * @param {Request} request
 * @param {Record<string, unknown>} [more]
 */
export async function asJson({ fields, image, mask }, more = {}) {
  const pictures = { image: await base64(image), ...(mask && { mask: await base64(mask) }) };
  return { ...pictures, ...fields, ...more };
}

/**
 * @param {Blob} blob
 * @returns {Promise<string>}
 */
function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ''));
    reader.onerror = () => reject(new Error(`${blob instanceof File ? blob.name : 'The picture'} cannot be read.`));
    reader.readAsDataURL(blob);
  });
}

/**
 * @param {string} text base64
 * @param {string} format png, jpeg, ...
 */
export function blobOf(text, format) {
  return new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))], { type: `image/${format}` });
}
