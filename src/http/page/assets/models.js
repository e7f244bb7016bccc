// The models that the server runs, and what depends on the one that is chosen: sizes, words, defaults.

import { call } from './api.js';
import { byId, element, say } from './dom.js';
import { offerLoras } from './loras.js';
import { starter } from './starter.js';
import { offerWords } from './words.js';

/**
 * @typedef {{ native: number, multiple: number, min: number, max: number }} Sizes sides in pixels
 * @typedef {{ name: string, title: string, kind?: string, runnable: boolean, reason?: string, size: Sizes,
 *   limits: { steps: number, pixels: number, prompt_chars: number, guidance?: number },
 *   defaults: { steps: number, guidance: number, scheduler: string, influence?: number, image_guidance?: number },
 *   lora_family?: string | null, description?: string,
 *   generator?: { base: string, prompt_prefix?: string, prompt_suffix?: string, negative_prompt?: string,
 *     picture?: string, loras?: { name: string, scale?: number }[] },
 *   vocabulary?: Record<string, string[]> }} Model as GET /models lists it, generators too
 */

/** @type {Model[]} */
let models = [];
/**
 * What controls were given that follow the model. One that has another value is somebody's choice, and keeps it.
 * @type {Record<string, string>}
 */
const given = Object.fromEntries(['prompt', 'influence', 'guidance'].map((id) => [id, byId(id).value]));
const usual = { ...given };
const usualNegative = byId('negative-means').textContent;

/** @param {string} id @param {number | string} value */
function offer(id, value) {
  if (byId(id).value === given[id]) {
    byId(id).value = value;
    byId(id).dispatchEvent(new Event('input'));
    given[id] = byId(id).value; // a slider has steps
  } else given[id] = String(value);
}

/** @returns {Model | undefined} */
export const model = () => models.find(({ name }) => name === byId('model').value);

/** @type {Promise<void> | undefined} */
let loading;

/** Asks until there are some: a server that has just started is still loading them. @throws {import('./api.js').Refusal} */
export function loadModels() {
  loading ??= load().catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load() {
  for (;;) {
    /** @type {{ models: Model[] }} */
    const listed = await (await call('models')).json();
    models = listed.models.filter(({ runnable }) => runnable);
    const [broken] = listed.models;
    if (models.length > 0) break;
    say(broken ? `No model can run: ${broken.name}: ${broken.reason}.` : 'The server is loading its models…');
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  const option = (/** @type {Model} */ { name, title }) =>
    element('option', { value: name, textContent: title, title: name });
  const generators = models.filter(({ generator }) => generator).map(option);
  byId('model').replaceChildren(
    ...models.filter(({ generator }) => !generator).map(option),
    ...(generators.length > 0 ? [element('optgroup', { label: 'Generators' }, ...generators)] : []),
  );
  // The one with the fewest steps answers soonest; it is loaded from the start.
  byId('model').value = models.reduce((best, one) => (one.defaults.steps < best.defaults.steps ? one : best)).name;
  followModel();
  say('');
}

function followModel() {
  const followed = model();
  if (!followed) return;
  const { defaults, kind, limits, generator } = followed;
  byId('guidance').max = 30;
  offer('guidance', defaults.guidance);
  byId('guidance').max = limits.guidance ?? 30;
  offer('influence', defaults.influence ?? usual.influence ?? 50);
  byId('influence-means').hidden = defaults.image_guidance !== undefined; // which ties to the starter in another way
  offer('prompt', generator ? '' : (usual.prompt ?? '')); // a generator brings its own
  const whole = generator && [generator.prompt_prefix, '…', generator.prompt_suffix].join('');
  byId('prompt').placeholder = whole ?? '';
  byId('negative_prompt').placeholder = generator?.negative_prompt ?? '';
  byId('negative-means').textContent = kind === 'lcm' ? 'this model takes none' : usualNegative;
  byId('y_values').value = guidances(defaults.guidance).join(', ');
  byId('steps').placeholder = defaults.steps;
  byId('steps').max = limits.steps;
  byId('scheduler').options[0].textContent = `${defaults.scheduler}, the model's`;
  for (const id of ['prompt', 'negative_prompt']) byId(id).maxLength = limits.prompt_chars;
  offerSizes();
  offerWords(followed.vocabulary);
  showGenerator(followed);
  offerLoras(followed);
}

/** What a generator makes, and of what. @param {Model} chosen */
function showGenerator({ title, description, generator }) {
  byId('generator').hidden = !generator;
  if (!generator) return;
  const picture = byId('generator-picture');
  picture.hidden = !generator.picture;
  if (generator.picture) Object.assign(picture, { src: generator.picture, alt: `What ${title} makes` });
  byId('generator-says').textContent = description ?? `Made with ${generator.base}.`;
}

/** About a model's own: less, that, more. @param {number} usual @returns {number[]} */
function guidances(usual) {
  const round = (/** @type {number} */ value) => Math.round(value * 2) / 2;
  return usual > 1 ? [round(Math.max(1, usual / 2)), usual, round(usual * 1.5)] : [1, 2, 4];
}

/** @param {number} value */
export function setGuidance(value) {
  byId('guidance').value = value;
  byId('guidance').dispatchEvent(new Event('input'));
}

/** The sizes that the model makes of the starter's aspect; the server computes the other side in the same way. */
export function offerSizes() {
  const offered = model();
  const picture = starter();
  if (!offered) return;
  const { native, multiple, min, max } = offered.size;
  const aspect = picture && picture.width > 0 ? picture.width / picture.height : 1;
  const fitting = (/** @type {number} */ side) => Math.min(Math.max(Math.round(side / multiple) * multiple, min), max);
  const sizeText = (/** @type {number} */ width, /** @type {number} */ height) => `${width} × ${height}`;
  const automatic = sizeText(fitting(native * Math.sqrt(aspect)), fitting(native / Math.sqrt(aspect)));
  const step = Math.max(multiple, Math.round((max - min) / 8 / multiple) * multiple);
  const kept = byId('size').value;
  const options = [element('option', { value: '', textContent: `${automatic} (auto)` })];
  for (let side = min; side <= max; side += step) {
    const [width, height] = aspect >= 1 ? [side, fitting(side / aspect)] : [fitting(side * aspect), side];
    if (width * height > offered.limits.pixels) continue;
    const value = aspect >= 1 ? `width=${width}` : `height=${height}`;
    options.push(element('option', { value, textContent: sizeText(width, height) }));
  }
  byId('size').replaceChildren(...options);
  if (options.some(({ value }) => value === kept)) byId('size').value = kept;
}

byId('model').addEventListener('change', followModel);
