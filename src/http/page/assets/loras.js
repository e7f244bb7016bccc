// The LoRAs that fit the model, as chips that put their names into the field, or take them out of it.

import { call } from './api.js';
import { byId, element } from './dom.js';

/** @typedef {{ name: string, family: string, runnable: boolean, trigger_words?: string[] }} Lora as GET /loras lists it */

/**
 * Those that the server lists now: one may have come since the page was opened.
 * @param {import('./models.js').Model} model
 */
export async function offerLoras({ name: model, lora_family, generator }) {
  /** @type {{ loras: Lora[] }} */
  const none = { loras: [] };
  /** A server that cannot be reached is told when something is made. @type {{ loras: Lora[] }} */
  const { loras } = lora_family
    ? await call('loras').then(
        (listed) => listed.json(),
        () => none,
      )
    : none;
  if (byId('model').value !== model) return; // another one was chosen meanwhile
  const fitting = loras.filter(({ runnable, family }) => runnable && [lora_family, 'unknown'].includes(family));
  byId('loras').hidden = fitting.length === 0;
  if (fitting.length === 0) byId('lora').value = '';
  const own = generator?.loras?.map(({ name, scale }) => (scale === undefined ? name : `${name}:${scale}`));
  byId('lora').placeholder = own?.join(', ') ?? '';
  byId('lora-chips').replaceChildren(
    ...fitting.map(({ name, trigger_words: words = [] }) => {
      const title = words.length > 0 ? `Its words: ${words.join(', ')}` : '';
      const chip = element('button', { type: 'button', textContent: name, title });
      chip.addEventListener('click', () => toggle(name));
      return chip;
    }),
  );
  mark();
}

const parts = () =>
  byId('lora')
    .value.split(',')
    .map((/** @type {string} */ part) => part.trim())
    .filter(Boolean);

/** Without its scale, which stands after the last colon. @param {string} part */
const nameOf = (part) => part.replace(/\s*:[^:]*$/, '');

/** @param {string} name */
function toggle(name) {
  const all = parts();
  const others = all.filter((/** @type {string} */ part) => nameOf(part) !== name);
  byId('lora').value = (others.length < all.length ? others : [...all, name]).join(', ');
  mark();
}

function mark() {
  const there = parts().map(nameOf);
  for (const chip of byId('lora-chips').children) {
    chip.setAttribute('aria-pressed', String(there.includes(chip.textContent)));
  }
}

byId('lora').addEventListener('input', mark);
