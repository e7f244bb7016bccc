export { shown } from '../../json-mistakes.js';

/** Why a folder cannot run, in one sentence for the person who put it there. */
export class ModelFolderError extends Error {}
