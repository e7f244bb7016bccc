// Which model a request means, and with which models a server does not start.

import t from 'tap';
import { type CatalogueEntry, findModel, startFault } from '../../src/engine/host/catalogue.js';

const runs = (name: string) => ({ name, runnable: true }) as CatalogueEntry;
const broken = (name: string): CatalogueEntry => ({ name, runnable: false, reason: 'unet/model.onnx is missing' });
const changing = (name: string): CatalogueEntry => ({ name, runnable: false, reason: 'it is written', changing: true });

const choices: readonly [models: readonly CatalogueEntry[], chosen: string | undefined, outcome: string][] = [
  [[runs('a'), runs('paintbox')], undefined, 'paintbox'],
  [[runs('a'), broken('paintbox')], undefined, 'a'],
  [[broken('a'), runs('b'), runs('c')], undefined, 'b'],
  [[runs('a'), runs('paintbox')], 'a', 'a'],
  [[runs('a'), broken('b')], 'b', 'model_not_runnable'],
  [[runs('a')], 'b', 'model_not_found'],
  [[runs('a'), changing('paintbox')], undefined, 'model_changing'],
  [[runs('a'), changing('b')], 'b', 'model_changing'],
  [[broken('a')], undefined, 'model_not_runnable'],
];

t.test('the default is the one that is chosen, else paintbox, else the first that runs', async (t) => {
  for (const [models, chosen, outcome] of choices) {
    const told = `${models.map(({ name, runnable }) => `${name} ${runnable}`)}, chosen ${chosen}`;
    let found: string;
    try {
      found = findModel(models, undefined, chosen).name;
    } catch (error) {
      found = (error as { code: string }).code;
    }
    t.equal(found, outcome, told);
  }
  t.equal(findModel([runs('a'), runs('b')], 'b', 'a').name, 'b', 'a request that names one gets that');
});

t.test('a request finds models by their names, and no path leads to one', async (t) => {
  const models = [runs('a'), runs('paintbox')];
  for (const name of ['../models/a', './a', 'a/', '/a', 'a/../a', 'A', '', 'a.safetensors', '__proto__']) {
    t.throws(() => findModel(models, name), { code: 'model_not_found' }, name);
  }
});

const faults: readonly [models: readonly CatalogueEntry[], chosen: string | undefined, fault: string | undefined][] = [
  [[runs('a')], undefined, undefined],
  [[runs('a'), broken('b')], 'a', undefined],
  [[broken('a')], undefined, 'No model in MODELS_DIR can run. a: unet/model.onnx is missing.'],
  [[broken('a'), changing('b')], undefined, undefined],
  [[broken('a'), changing('b')], 'b', undefined],
  [[runs('a'), broken('b')], 'b', 'DEFAULT_MODEL is "b", which cannot run: unet/model.onnx is missing.'],
  [[runs('a'), runs('c')], 'b', 'DEFAULT_MODEL is "b"; MODELS_DIR has no model of that name. It has: a, c.'],
];

t.test('a server does not start with models of which none runs, or not the one that is chosen', async (t) => {
  for (const [models, chosen, fault] of faults) t.equal(startFault(models, chosen, undefined), fault);
  t.equal(startFault([], undefined, 'MODELS_DIR x does not exist'), 'MODELS_DIR x does not exist.');
});
