// The model's words as chips that put themselves into the prompt, or take themselves out of it.

import { byId, element } from './dom.js';

const names = { styles: 'Styles', qualities: 'Qualities', colours: 'Colours', other: 'Other' };

/** The prompt that was written in last. */
let target = 'prompt';
/** @type {Record<string, string[]>} */
let vocabulary = {};
let shown = 'styles';

/** @param {Record<string, string[]> | undefined} words of the model, in groups */
export function offerWords(words = {}) {
  vocabulary = words;
  const groups = Object.entries(names).filter(([group]) => (words[group] ?? []).length > 0);
  byId('words').hidden = groups.length === 0;
  if (!groups.some(([group]) => group === shown)) shown = groups[0]?.[0] ?? 'styles';
  byId('groups').replaceChildren(
    ...groups.map(([group, name]) => {
      const radio = element('input', { type: 'radio', name: 'words', value: group, checked: group === shown });
      radio.addEventListener('change', () => {
        shown = group;
        showChips();
      });
      return element('label', {}, radio, name);
    }),
  );
  showChips();
}

function showChips() {
  byId('chips').replaceChildren(
    ...(vocabulary[shown] ?? []).map((word) => {
      const chip = element('button', { type: 'button', textContent: word });
      chip.addEventListener('click', () => {
        toggle(word);
        markChips();
      });
      return chip;
    }),
  );
  markChips();
}

function markChips() {
  const there = phrases();
  for (const chip of byId('chips').children) {
    chip.setAttribute('aria-pressed', String(there.includes(chip.textContent.toLowerCase())));
  }
}

/** What stands between commas, in small letters. */
const phrases = () =>
  byId(target)
    .value.split(',')
    .map((/** @type {string} */ phrase) => phrase.trim().toLowerCase());

/** @param {string} word */
function toggle(word) {
  const parts = byId(target)
    .value.split(',')
    .map((/** @type {string} */ phrase) => phrase.trim())
    .filter(Boolean);
  const without = parts.filter((/** @type {string} */ phrase) => phrase.toLowerCase() !== word.toLowerCase());
  byId(target).value = (without.length < parts.length ? without : [...parts, word]).join(', ');
}

for (const id of ['prompt', 'negative_prompt']) {
  byId(id).addEventListener('input', markChips);
  byId(id).addEventListener('focus', () => {
    target = id;
    byId('words-for').textContent = id.replace('_', ' ');
    markChips();
  });
}
