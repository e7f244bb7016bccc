// The starter picture: one of ours, or one that is chosen, dropped, pasted or photographed.

import { byId, say } from './dom.js';

/**
 * @typedef {{ file: File, url: string, width: number, height: number }} Starter width 0: the browser cannot show it
 */

/** @type {Starter | undefined} */
let current;
/** Of those that are asked for, the last one counts. */
let asked = 0;
/** @type {(starter: Starter) => void} */
let onChange = () => {};

/** @returns {Starter | undefined} */
export const starter = () => current;

/** @param {File} file @returns {Promise<void>} */
async function use(file) {
  const mine = ++asked;
  const url = URL.createObjectURL(file);
  const picture = new Image();
  picture.src = url;
  await picture.decode().catch(() => {});
  if (mine !== asked) return URL.revokeObjectURL(url);
  current = { file, url, width: picture.naturalWidth, height: picture.naturalHeight };
  onChange(current);
}

/** @param {File} file of the user's @returns {Promise<void>} */
export async function useOwn(file) {
  await use(file);
  byId('own').hidden = false;
  const radio = byId('own').querySelector('input');
  radio.checked = true;
  own = file;
  byId('own-picture').src = current?.url ?? '';
  byId('own').title = file.name;
  say(`The starter is ${file.name}.`);
}
/** @type {File | undefined} */
let own;

/** @param {string} name of a file in starters/ @returns {Promise<void>} */
async function useOurs(name) {
  const answer = await fetch(new URL(`./starters/${name}`, import.meta.url)).catch(() => undefined);
  if (!answer?.ok) return say('The starter cannot be loaded.');
  const blob = await answer.blob();
  await use(new File([blob], name, { type: blob.type }));
}

/** @param {DataTransfer | null} data @returns {File | undefined} */
const fileIn = (data) => [...(data?.files ?? [])][0];

/** @param {(starter: Starter) => void} tell called with every new one */
export function watchStarters(tell) {
  onChange = tell;
  for (const radio of document.querySelectorAll('[name=starter]')) {
    radio.addEventListener('change', () => {
      const { value } = /** @type {HTMLInputElement} */ (radio);
      if (value !== 'own') useOurs(value);
      else if (own) use(own);
    });
  }
  for (const id of ['file', 'camera']) {
    byId(id).addEventListener('change', () => {
      const [file] = byId(id).files;
      if (file) useOwn(file);
      byId(id).value = ''; // the same file again is a change too
    });
  }
  // Children are entered before their parents are left: what counts is whether the pointer still is inside of anything.
  let depth = 0;
  const drag = (/** @type {number} */ change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle('dragging', depth > 0);
  };
  document.addEventListener('dragenter', () => drag(1));
  document.addEventListener('dragleave', () => drag(-1));
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    drag(-depth);
    const file = fileIn(event.dataTransfer);
    if (file) useOwn(file);
    else say('That is not a file. Save the picture first, then drop it here.');
  });
  document.addEventListener('paste', (event) => {
    const file = fileIn(event.clipboardData);
    if (!file) return; // text goes where the cursor is
    event.preventDefault();
    useOwn(file);
  });
  const chosen = /** @type {HTMLInputElement} */ (document.querySelector('[name=starter]:checked'));
  return useOurs(chosen.value);
}
