// Brings the controls to life.

import { byId, say } from './dom.js';
import { clearSentences, showProblem } from './errors.js';
import { adopt, readRequest } from './form.js';
import { make, showProgress } from './making.js';
import { loadModels, model, offerSizes } from './models.js';
import { makeSheet } from './sheet.js';
import { starter, useOwn, watchStarters } from './starter.js';
import { showMade, shownPicture, showStarter } from './view.js';

/** Set while something is made. @type {AbortController | undefined} */
let running;

/** @param {(request: import('./request.js').Request, starterUrl: string, signal: AbortSignal) => Promise<string>} work */
async function run(work) {
  if (running) return;
  clearSentences();
  const controller = new AbortController();
  running = controller;
  const before = shownPicture();
  try {
    if (!model()) await loadModels();
    const request = readRequest();
    setBusy(true);
    showProgress('Sending');
    say('Making…');
    byId('frame').scrollIntoView({ block: 'nearest' });
    say(await work(request, starter()?.url ?? '', controller.signal));
    byId('frame').scrollIntoView({ block: 'nearest' });
  } catch (error) {
    const picture = starter();
    if (before) showMade(before);
    else if (picture) showStarter(picture);
    say(controller.signal.aborted ? 'Cancelled.' : '');
    if (!controller.signal.aborted) showProblem(/** @type {Error} */ (error));
  } finally {
    running = undefined;
    setBusy(false);
  }
}

/** @param {boolean} busy */
function setBusy(busy) {
  byId('frame').classList.toggle('busy', busy);
  byId('frame').setAttribute('aria-busy', String(busy));
  byId('progress').hidden = !busy;
  // One button, so that the keyboard stays where it is.
  byId('make').textContent = busy ? 'Cancel' : 'Make';
  byId('sweep').disabled = busy;
}

byId('form').addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  if (running) running.abort();
  else run(make);
});
byId('form').noValidate = true; // the server's sentences name field, value and limit
byId('sweep').addEventListener('click', () => run(makeSheet));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') running?.abort();
  const inText = event.target instanceof HTMLTextAreaElement;
  if (event.key === 'Enter' && inText && (event.ctrlKey || event.metaKey)) byId('form').requestSubmit();
});
byId('adopt').addEventListener('click', () => {
  const made = shownPicture();
  if (made) adopt(made.request.fields);
  say('The controls have its settings; its seed is kept.');
});
byId('reuse').addEventListener('click', async () => {
  const made = shownPicture();
  if (!made) return;
  await useOwn(new File([made.blob], made.name, { type: made.blob.type }));
});

watchStarters((picture) => {
  clearSentences();
  showStarter(picture);
  offerSizes();
});
loadModels().catch(showProblem);
