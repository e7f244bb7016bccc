// What the frame shows: the starter, a preview, or a picture that was made, with the starter under the same handle; below it what is known of it.

import { address } from './api.js';
import { byId, element } from './dom.js';
import { key } from './key.js';
import { snippets } from './snippets.js';

/**
 * @typedef {import('./request.js').Request} Request
 * @typedef {{ blob: Blob, url: string, name: string, width: number, height: number, request: Request, starterUrl: string,
 *   caption: string, notes: string[] }} Made a picture that was made; its request has the seed
 */

/** @type {Made | undefined} */
let current;

export const shownPicture = () => current;

/** @param {number} width @param {number} height */
function setAspect(width, height) {
  byId('frame').style.setProperty('--w', String(width || 1));
  byId('frame').style.setProperty('--h', String(height || 1));
}

/** @param {boolean} both */
function showSplit(both) {
  byId('frame').classList.toggle('split-shown', both);
  for (const part of document.querySelectorAll('.split, .side')) /** @type {HTMLElement} */ (part).hidden = !both;
}

/** @param {import('./starter.js').Starter} starter */
export function showStarter({ url, width, height, file }) {
  current = undefined;
  setAspect(width, height);
  const seen = width > 0;
  byId('before').hidden = !seen;
  if (seen) byId('before').src = url;
  byId('unseen').hidden = seen;
  byId('unseen').textContent = `This browser cannot show ${file.name}. The server may still be able to read it.`;
  byId('after').hidden = true;
  byId('frame').dataset.fit = '';
  showSplit(false);
  byId('result').hidden = true;
  markStrip();
}

/** A small, rough picture, while the real one is made. @param {string} url */
export function showPreview(url) {
  showSplit(false);
  byId('after').hidden = false;
  byId('after').src = url;
}

/** @param {Made} made */
export function showMade(made) {
  current = made;
  const { url, name, width, height, request, starterUrl, caption, notes } = made;
  setAspect(width, height);
  byId('before').hidden = false;
  byId('before').src = starterUrl;
  byId('unseen').hidden = true;
  byId('after').hidden = false;
  byId('after').src = url;
  byId('after').alt = `Made: ${caption}`;
  byId('frame').dataset.fit = String(request.fields.fit ?? '');
  showSplit(true);
  byId('result').hidden = false;
  byId('caption').textContent = caption;
  byId('notes').replaceChildren(...notes.map((textContent) => element('li', { textContent })));
  byId('download').href = url;
  byId('download').download = name;
  markStrip();
}

/** @type {Map<Made, HTMLElement>} */
const strip = new Map();

/** The newest first. @param {Made} made */
export function addToStrip(made) {
  const picture = element('img', { src: made.url, alt: made.caption, title: made.caption });
  const button = element('button', { type: 'button' }, picture);
  button.addEventListener('click', () => {
    showMade(made);
    byId('frame').scrollIntoView({ block: 'nearest' });
  });
  byId('strip').prepend(element('li', {}, button));
  byId('made').hidden = false;
  strip.set(made, button);
}

function markStrip() {
  for (const [made, button] of strip) button.setAttribute('aria-current', String(made === current));
}

byId('split').addEventListener('input', () => {
  const { value } = byId('split');
  byId('frame').style.setProperty('--split', `${value}%`);
  byId('split').setAttribute('aria-valuetext', `${Math.round(value)} percent starter`);
});

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const language = /** @type {HTMLElement} */ (button).dataset.copy ?? '';
    if (!current) return;
    const { request, name } = current;
    const snippet = { request, url: address('img2img'), keyed: key() !== '', output: name };
    await copy(snippets[language]?.(snippet) ?? '');
    const label = button.textContent;
    button.textContent = 'Copied';
    setTimeout(() => {
      button.textContent = label;
    }, 1500);
  });
}

/** @param {string} text */
async function copy(text) {
  // Only pages that came over TLS, or from this machine, have a clipboard.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element('textarea', { value: text, className: 'hidden' });
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}
