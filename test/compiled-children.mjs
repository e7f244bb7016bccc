// Loaded before each test (.taprc): processes of img2img that a test starts run what `npm run build` made of their sources, which is
// what users run and starts in a third of the time. Where a source is newer than what was made of it, they run the sources.

import childProcess from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('../src', import.meta.url));
const built = fileURLToPath(new URL('../dist', import.meta.url));

/** @param {string} source */
const compiledOf = (source) => built + source.slice(sources.length).replace(/\.ts$/, '.js');
/** @param {string} file */
const changedAt = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

const isBuilt = readdirSync(sources, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.includes('assets'))
  .map((name) => join(sources, name))
  .every((source) => changedAt(source) <= changedAt(compiledOf(source)));

/** @param {string} argument */
const isSource = (argument) => argument.startsWith(sources) && argument.endsWith('.ts');

/**
 * Without what only sources and tests need: loaders, and what tap watches tests with.
 * @param {readonly string[]} options of Node
 */
const plain = (options) =>
  options.filter((option, i) => !/^--import|^--enable-source-maps$/.test(option) && options[i - 1] !== '--import');

/** @param {readonly string[]} command Node's arguments */
function compiled(command) {
  const at = command.findIndex(isSource);
  return at < 0 ? command : [...plain(command.slice(0, at)), compiledOf(command[at] ?? ''), ...command.slice(at + 1)];
}

/**
 * @param {(...given: any[]) => any} start spawn or spawnSync
 * @returns {any} the same for what is compiled
 */
const withCompiled =
  (start) =>
  (/** @type {any[]} */ ...[file, args, ...rest]) =>
    start(file, Array.isArray(args) ? compiled(args) : args, ...rest);

if (isBuilt) {
  const { fork } = childProcess;
  childProcess.spawn = withCompiled(childProcess.spawn);
  childProcess.spawnSync = withCompiled(childProcess.spawnSync);
  childProcess.fork = (/** @type {any} */ module, /** @type {any[]} */ ...rest) => {
    if (!isSource(String(module))) return fork(module, ...rest);
    const [args, options] = Array.isArray(rest[0]) ? rest : [[], rest[0]];
    return fork(compiledOf(module), args, { ...options, execArgv: plain(options?.execArgv ?? process.execArgv) });
  };
  syncBuiltinESMExports();
}
