// The controls as a request, and back.

import { byId } from './dom.js';
import { setGuidance } from './models.js';
import { starter } from './starter.js';

/** @typedef {import('./request.js').Request} Request */

const maxSeed = 2 ** 32 - 1;

export function rollSeed() {
  byId('seed').value = crypto.getRandomValues(new Uint32Array(1))[0];
}

/** Fields that go in as they stand, where they are not empty. */
const texts = ['prompt', 'negative_prompt', 'lora', 'scheduler', 'fit', 'background', 'format', 'model'];
const numbers = ['influence', 'guidance', 'seed', 'steps', 'n', 'quality'];

/**
 * What Make would send now. A seed is drawn unless it is to be kept: whoever copies the request gets the same picture.
 * @returns {Request}
 * @throws {Error} with `errors`, as a problem has them
 */
export function readRequest() {
  const picture = starter();
  if (!picture) throw fieldError('image', 'There is no starter yet: choose a picture.');
  if (!byId('lock').checked || byId('seed').value === '') rollSeed();
  /** @type {Request['fields']} */
  const fields = {};
  for (const name of texts) {
    const value = byId(name).value.trim();
    if (value !== '') fields[name] = value;
  }
  for (const name of numbers) {
    const { value, validity } = byId(name);
    if (validity.badInput) throw fieldError(name, `${name} is no number.`);
    if (value !== '') fields[name] = Number(value);
  }
  const [side, length] = byId('size').value.split('=');
  if (side) fields[side] = Number(length);
  if (byId('embed_parameters').checked) fields.embed_parameters = true;
  const [mask] = byId('mask').files;
  return { fields, image: picture.file, mask };
}

/**
 * @param {string} field
 * @param {string} detail
 */
export function fieldError(field, detail) {
  return Object.assign(new Error(detail), { errors: [{ pointer: `#/${field}`, detail }] });
}

/**
 * Sets the controls to a request's values; its seed is kept from then on.
 * @param {Request['fields']} fields
 */
export function adopt(fields) {
  const before = byId('model').value;
  byId('model').value = fields.model ?? before;
  if (byId('model').value !== before) byId('model').dispatchEvent(new Event('change')); // which brings its own values
  for (const name of [...texts, ...numbers]) {
    if (name !== 'guidance' && name !== 'model') byId(name).value = fields[name] ?? '';
  }
  if (fields.guidance !== undefined) setGuidance(Number(fields.guidance));
  byId('embed_parameters').checked = fields.embed_parameters === true;
  const side = ['width', 'height'].find((name) => fields[name] !== undefined);
  byId('size').value = side ? `${side}=${fields[side]}` : '';
  if (byId('size').value === '') byId('size').selectedIndex = 0;
  byId('lock').checked = true;
  for (const name of ['influence', 'prompt', 'lora']) byId(name).dispatchEvent(new Event('input'));
}

/** @param {string} id of a list of numbers @param {number} min @param {number} max @returns {number[]} */
export function readValues(id, min, max) {
  const values = byId(id)
    .value.split(/[,;|\s]+/)
    .filter(Boolean);
  if (values.length === 0) throw fieldError(id, 'Name at least one value.');
  return values.map((/** @type {string} */ text) => {
    const value = Number(text);
    if (value >= min && value <= max) return value;
    throw fieldError(id, `${text} is no number from ${min} to ${max}.`);
  });
}

byId('seed').max = maxSeed;
byId('dice').addEventListener('click', rollSeed);
byId('influence').addEventListener('input', () => {
  byId('influence-value').textContent = `${byId('influence').value} %`;
});
byId('guidance').addEventListener('input', () => {
  byId('guidance-value').textContent = byId('guidance').value;
});
for (const tick of document.querySelectorAll('[data-influence]')) {
  tick.addEventListener('click', () => {
    byId('influence').value = /** @type {HTMLElement} */ (tick).dataset.influence;
    byId('influence').dispatchEvent(new Event('input'));
  });
}
