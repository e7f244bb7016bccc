// A folder in diffusers' layout that lends its text encoders with their tokenizers, and its VAE, to a single file beside it that holds
// none.

import { statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ComputingPrecision } from '../../model-facts.js';
import { type TextEncoder, type TokenizerName, textEncoders, tokenizers } from '../folder/components.js';
import { type Json, readJson } from '../folder/configs.js';
import { isThere } from '../folder/files.js';
import { ModelFolderError, shown } from '../folder/model-folder-error.js';
import { PartConfig } from '../folder/schemas.js';
import { settingsOf } from './file-names.js';
import { FolderSource, type OwnComponent, type Part, type TokenizerSource } from './model-source.js';

/** Both halves may be one. */
const vaeFolders = ['vae', 'vae_encoder', 'vae_decoder'] as const;
/** The folders that are lent, those that are there. */
const lentFolders: readonly string[] = [...textEncoders, ...Object.values(tokenizers), ...vaeFolders];

/** A name as MODELS_DIR lists folders: no path, and nothing hidden. */
const isName = (text: string) => !/^\.|[\\/]/.test(text);

/** What to write where text encoders are missing. @param path of the file */
export const lendingHint = (path: string): string =>
  `name a folder beside it that has them in ${basename(settingsOf(path))}: {"text_encoders": "FOLDER"}`;

export class Lender {
  private readonly folder: FolderSource;

  /**
   * @param path of the file that borrows
   * @param name of the folder, as the file's settings have it
   * @throws ModelFolderError when there is no such folder, or it has no text encoder
   */
  constructor(
    path: string,
    readonly name: string,
  ) {
    const told = `${basename(settingsOf(path))} has text_encoders ${shown(name)}`;
    if (!isName(name)) {
      throw new ModelFolderError(`${told}, which is no name; it names a folder beside the file, without a path`);
    }
    const folder = join(dirname(path), name);
    if (!isFolder(folder)) throw new ModelFolderError(`${told}, and beside the file there is no such folder`);
    if (!lentFolders.some((part) => isThere(folder, part))) {
      throw new ModelFolderError(`${told}, and that folder has neither text encoders nor tokenizers`);
    }
    this.folder = new FolderSource(folder);
  }

  has(part: OwnComponent): boolean {
    return this.folder.has(part);
  }

  hasTokenizer(name: TokenizerName): boolean {
    return isThere(this.folder.root, name);
  }

  /** config.json of a text encoder, or of both halves of the VAE. @throws ModelFolderError */
  config(part: TextEncoder | 'vae'): Json {
    const folders = part === 'vae' ? vaeFolders : [part];
    const read = () => folders.map((folder) => this.folder.json(`${folder}/config.json`, PartConfig, {}));
    return Object.assign({}, ...this.told(read));
  }

  /** @throws ModelFolderError as a folder's part does */
  part(component: OwnComponent, precision: ComputingPrecision): Part {
    const part = this.told(() => this.folder.part(component, precision));
    return { ...part, file: `${this.name}/${part.file}` };
  }

  tokenizer(name: TokenizerName): TokenizerSource {
    return this.folder.tokenizer(name);
  }

  private told<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ModelFolderError)) throw error;
      throw new ModelFolderError(`${this.name}, whose text encoders it borrows: ${error.message}`);
    }
  }
}

/**
 * The folders that a single file's settings borrow: what is wrong with the settings is told when they are read as such.
 * @returns of each its path, and the name that it has from where the file lies
 */
export function foldersLentTo(path: string): { readonly name: string; readonly path: string }[] {
  try {
    const named: unknown = readJson(dirname(path), basename(settingsOf(path)), {}).text_encoders;
    if (typeof named !== 'string' || named === '' || !isName(named)) return [];
    return lentFolders
      .map((part) => ({ name: join(named, part), path: join(dirname(path), named, part) }))
      .filter((folder) => isFolder(folder.path));
  } catch {
    return [];
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    return false;
  }
}
