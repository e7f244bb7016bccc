// Sentences beside the fields that they are about.

import { byId, element } from './dom.js';

/** @param {string} field @returns {HTMLElement | null} */
const placeOf = (field) => document.querySelector(`[data-field~="${CSS.escape(field)}"]`);

/** @param {Element} place @returns {Element | null} */
const controlOf = (place) => place.querySelector('input:not([type=radio]), select, textarea');

/** Of the last attempt. */
export function clearSentences() {
  for (const old of document.querySelectorAll('[data-field] > .error, [data-field] > .note')) old.remove();
  for (const control of document.querySelectorAll('[aria-invalid]')) {
    control.removeAttribute('aria-invalid');
    const before = /** @type {HTMLElement} */ (control).dataset.describedby;
    if (before) control.setAttribute('aria-describedby', before);
    else control.removeAttribute('aria-describedby');
  }
  byId('error').hidden = true;
}

/**
 * @param {string} field
 * @param {string} sentence
 * @returns {boolean} whether the page has that field
 */
export function noteBeside(field, sentence) {
  const place = placeOf(field);
  place?.append(element('p', { className: 'note', textContent: sentence }));
  return place !== null;
}

/**
 * Beside its fields; what names none, or one that the page has not, stands above the buttons.
 * @param {{ message: string, errors?: { pointer: string, detail: string }[] }} problem
 */
export function showProblem({ message, errors = [] }) {
  /** @type {string[]} */
  const elsewhere = errors.length === 0 ? [message] : [];
  let first;
  for (const { pointer, detail } of errors) {
    const field = pointer.split('/')[1] ?? '';
    const place = field === '' ? null : placeOf(field);
    const control = place && controlOf(place);
    if (!place || !control) {
      elsewhere.push(detail);
      continue;
    }
    const id = `error-${field}`;
    if (byId(id)) {
      // Two values of one list.
      if (!byId(id).textContent.includes(detail)) byId(id).append(` ${detail}`);
      continue;
    }
    place.append(element('p', { className: 'error', id, textContent: detail }));
    const described = control.getAttribute('aria-describedby');
    if (described) /** @type {HTMLElement} */ (control).dataset.describedby = described;
    control.setAttribute('aria-invalid', 'true');
    control.setAttribute('aria-describedby', id);
    if (place.closest('#more')) byId('more').open = true;
    first ??= /** @type {HTMLElement} */ (control);
  }
  first?.focus();
  byId('error').textContent = elsewhere.join(' ');
  byId('error').hidden = elsewhere.length === 0;
}
