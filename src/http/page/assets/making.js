// One press: the request, its steps as they come, and the pictures.

import { call, events, Refusal } from './api.js';
import { byId } from './dom.js';
import { noteBeside } from './errors.js';
import { asForm, blobOf } from './request.js';
import { addToStrip, showMade, showPreview } from './view.js';

/**
 * @typedef {import('./request.js').Request} Request
 * @typedef {{ code: string, detail: string }} Warning
 */

/** @param {string} text @param {number} [value] @param {number} [max] without them nobody knows how far it is */
export function showProgress(text, value, max) {
  byId('progress').hidden = false;
  byId('doing').textContent = text;
  if (value === undefined) byId('bar').removeAttribute('value');
  else Object.assign(byId('bar'), { max, value });
}

/** @param {number} ms */
export const duration = (ms) =>
  ms < 950 ? 'less than a second' : ms < 90_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;

/**
 * @param {Request} request
 * @param {string} starterUrl
 * @param {AbortSignal} signal
 * @returns {Promise<string>} what there is to say
 * @throws {Refusal}
 */
export async function make(request, starterUrl, signal) {
  const began = performance.now();
  const pictures = Number(request.fields.n ?? 1);
  const response = await call('img2img', {
    body: asForm(request, { preview: true }),
    accept: 'text/event-stream',
    signal,
  });
  let stepping = 0;
  /** @type {any[]} */
  const images = [];
  for await (const { event, data } of events(response)) {
    if (event === 'queued') {
      const ahead = data.position > 0 ? `Place ${data.position} in the queue` : 'Starting';
      showProgress(data.position > 0 ? `${ahead}, about ${duration(data.estimated_wait_ms)}` : ahead);
    } else if (event === 'step') {
      const all = data.steps * pictures;
      const done = data.index * data.steps + data.step;
      stepping ||= performance.now();
      const left = ((performance.now() - stepping) / Math.max(1, done - 1)) * (all - done);
      const known = done > 1 && done < all ? ` · ${duration(left)} left` : '';
      const which = pictures > 1 ? ` of picture ${data.index + 1} of ${pictures}` : '';
      showProgress(`Step ${data.step} of ${data.steps}${which}${known}`, done, all);
      if (data.preview) showPreview(`data:image/${data.preview.format};base64,${data.preview.b64_json}`);
    } else if (event === 'image') {
      images.push(data);
    } else if (event === 'error') {
      throw new Refusal(data);
    } else if (event === 'done') {
      const notes = tellWarnings(data.warnings);
      const shown = images.filter(({ b64_json }) => b64_json !== null);
      for (const image of shown) keep(image, data.parameters, request, starterUrl, notes);
      const took = `${((performance.now() - began) / 1000).toFixed(1)} s`;
      const flagged = images.length - shown.length;
      const rest = flagged > 0 ? ` ${flagged} more flagged by the safety checker, and kept back.` : '';
      return images.length > 1 ? `${shown.length} pictures in ${took}.${rest}` : `Made in ${took}.`;
    }
  }
  throw new Refusal({ code: 'cut', detail: 'The connection ended before the picture was there.' });
}

/** What a warning is about. */
/** @type {Record<string, string>} */
const fieldOf = {
  prompt_truncated: 'prompt',
  prompt_beyond_clip: 'prompt',
  prompt_words_unknown: 'prompt',
  prompts_unused: 'prompt',
  negative_prompt_truncated: 'negative_prompt',
  negative_prompt_beyond_clip: 'negative_prompt',
  negative_prompt_unused: 'negative_prompt',
  guidance_unused: 'guidance',
  strength_rounded_to_no_step: 'influence',
  quality_unused: 'quality',
};

/**
 * Beside their fields.
 * @param {Warning[]} warnings
 * @returns {string[]} those that are about no field
 */
export function tellWarnings(warnings) {
  return warnings
    .filter(({ code }) => code !== 'size_chosen') // the caption has the size
    .filter(({ code, detail }) => !noteBeside(fieldOf[code] ?? '', detail))
    .map(({ detail }) => detail);
}

/**
 * Shows a picture, and keeps it as long as the tab.
 * @param {{ b64_json: string, seed: number, width: number, height: number, format: string }} image
 * @param {{ influence: number, guidance: number, steps_run: number, scheduler: string }} ran
 * @param {Request} request
 * @param {string} starterUrl
 * @param {string[]} notes
 */
export function keep(image, ran, request, starterUrl, notes) {
  const { seed, width, height, format } = image;
  // Of several pictures each is what its own seed gives.
  /** @type {Request['fields']} */
  const sent = { ...request.fields, seed };
  const { n: _, ...fields } = sent;
  const { prompt = '' } = fields;
  const facts = [
    ...(prompt ? [prompt] : []),
    `influence ${ran.influence}`,
    `guidance ${ran.guidance}`,
    `seed ${seed}`,
    `${ran.steps_run} steps`,
    `${width} × ${height}`,
  ];
  const slug = String(prompt)
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
  const blob = blobOf(image.b64_json, format);
  const made = {
    blob,
    url: URL.createObjectURL(blob),
    name: `${slug || 'picture'}-${seed}.${format === 'jpeg' ? 'jpg' : format}`,
    ...{ width, height, starterUrl, notes },
    request: { ...request, fields },
    caption: facts.join(' · '),
  };
  addToStrip(made);
  showMade(made);
}
