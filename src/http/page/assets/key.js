// The server's API key, where it wants one: asked for once, kept as long as the tab.

import { byId } from './dom.js';

const item = 'img2img-key';

/** Empty where none was given. */
export const key = () => sessionStorage.getItem(item) ?? '';

/** @type {Promise<boolean> | undefined} */
let asking;

/**
 * @param {boolean} refused the key that is known is wrong
 * @returns {Promise<boolean>} whether there is one now
 */
export function askForKey(refused) {
  byId('change-key').hidden = false;
  // Several requests may want it at once.
  asking ??= ask(refused).finally(() => {
    asking = undefined;
  });
  return asking;
}

/** @param {boolean} refused */
function ask(refused) {
  const dialog = byId('key-dialog');
  byId('key-why').textContent = refused
    ? 'The key was refused. Try another one.'
    : 'It stays in this tab and is sent to this server only.';
  byId('key').value = '';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        const given = dialog.returnValue === 'use' ? byId('key').value.trim() : '';
        if (given) sessionStorage.setItem(item, given);
        resolve(given !== '');
      },
      { once: true },
    );
  });
}

byId('key-form').addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  byId('key-dialog').close('use');
});
byId('key-cancel').addEventListener('click', () => byId('key-dialog').close());
byId('change-key').addEventListener('click', () => ask(false));
if (key()) byId('change-key').hidden = false;
