// The contact sheet: this picture at several influences and guidances, each cell to be taken.

import { call } from './api.js';
import { byId, element } from './dom.js';
import { adopt, readValues } from './form.js';
import { duration, keep, showProgress, tellWarnings } from './making.js';
import { asJson } from './request.js';

/** @typedef {import('./request.js').Request} Request */

/**
 * @param {Request} request
 * @param {string} starterUrl
 * @param {AbortSignal} signal
 * @returns {Promise<string>} what there is to say
 * @throws {import('./api.js').Refusal}
 */
export async function makeSheet(request, starterUrl, signal) {
  const influences = readValues('x_values', 0, 100);
  const guidances = readValues('y_values', 0, 30);
  const { influence: _i, guidance: _g, n: _n, ...fields } = request.fields;
  const axes = { x_field: 'influence', x_values: influences, y_field: 'guidance', y_values: guidances };
  const body = await asJson({ ...request, fields }, axes);
  const count = influences.length * guidances.length;
  const estimate = await (await call('img2img/sheet', { body: { ...body, dry_run: true }, signal })).json();
  const { wait_ms, duration_ms } = estimate.estimate;
  const end = performance.now() + wait_ms + duration_ms;
  const tell = () => {
    const left = Math.max(0, end - performance.now());
    const known = left > 0 ? ` · about ${duration(left)} left` : '';
    showProgress(`${count} pictures${known}`, Math.max(0, wait_ms + duration_ms - left), wait_ms + duration_ms);
  };
  tell();
  const ticking = setInterval(tell, 500);
  try {
    const sheet = await (await call('img2img/sheet', { body, signal })).json();
    const notes = tellWarnings(sheet.warnings);
    showCells(sheet.cells, influences, guidances, { ...request, fields }, starterUrl, notes);
  } finally {
    clearInterval(ticking);
  }
  return `${count} pictures made. Press one to take its values.`;
}

/**
 * @param {any[]} cells row by row
 * @param {number[]} influences
 * @param {number[]} guidances
 * @param {Request} request
 * @param {string} starterUrl
 * @param {string[]} notes
 */
function showCells(cells, influences, guidances, request, starterUrl, notes) {
  const heads = influences.map((value) => element('th', { scope: 'col', textContent: `influence ${value}` }));
  const rows = guidances.map((guidance, row) => {
    const pictures = influences.map((influence, column) => {
      const cell = cells[row * influences.length + column];
      if (cell.b64_json === null) return element('td', { textContent: 'Kept back by the safety checker.' });
      const picture = element('img', {
        src: `data:image/${cell.format};base64,${cell.b64_json}`,
        alt: `Influence ${influence}, guidance ${guidance}`,
        width: cell.width,
        height: cell.height,
      });
      const button = element('button', { type: 'button' }, picture);
      button.addEventListener('click', () => {
        const fields = { ...request.fields, influence, guidance };
        adopt(fields);
        keep(cell, cell.parameters, { ...request, fields }, starterUrl, notes);
        byId('frame').scrollIntoView({ block: 'nearest' });
      });
      return element('td', {}, button);
    });
    return element('tr', {}, element('th', { scope: 'row', textContent: `guidance ${guidance}` }), ...pictures);
  });
  byId('cells').replaceChildren(
    element('thead', {}, element('tr', {}, element('td'), ...heads)),
    element('tbody', {}, ...rows),
  );
  byId('sheet').hidden = false;
  byId('sheet').scrollIntoView({ block: 'nearest' });
}
