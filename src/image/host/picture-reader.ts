// Uploads -> Pixels, for whoever answers requests: the header is read here, all else happens in processes of its own.

import { availableParallelism } from 'node:os';
import type { Rgb } from '../colour.js';
import type { Header } from '../shared/files/file.js';
import { readable, readFile } from '../shared/files/read.js';
import type { Decoded, DecodedMask, DecodedPicture, Fit, MaskReading, Task, Work } from '../shared/messages.js';
import { PictureError } from '../shared/picture-error.js';
import type { Size } from '../size.js';
import { decodeCost } from './cost.js';
import { DecodeQueue } from './decode-queue.js';
import { type DecoderEnd, DecoderLost, DecoderProcess } from './decoder-process.js';

export type { Header } from '../shared/files/file.js';
export { readable } from '../shared/files/read.js';
export type { Conversion, DecodedMask, DecodedPicture, Fit, MaskReading } from '../shared/messages.js';
export { PictureError } from '../shared/picture-error.js';
export type { DecoderEnd } from './decoder-process.js';

const processes = Math.min(Math.max(Math.floor(availableParallelism() / 2), 2), 4);
/** An estimate that is this much too low does not refuse a picture; a lie does. */
const memorySlack = { factor: 1.5, bytes: 64 * 1024 * 1024 };

export interface ReaderSettings {
  /** What all decodes may take together. */
  readonly maxBytes: number;
  /** Of one picture, ms. */
  readonly timeoutMs: number;
}

/** An upload whose header was read. */
export interface Starter {
  /** As a person sees it: EXIF orientation applied. */
  readonly width: number;
  readonly height: number;
  readonly bytes: Buffer;
  readonly header: Header;
}

export interface ReadOptions {
  /** Callers get turns. */
  readonly caller?: string | undefined;
  /** Ends the wait and the work; its reason is what the promise rejects with. */
  readonly signal?: AbortSignal | undefined;
}

export class PictureReader {
  private readonly queue: DecodeQueue;
  private readonly idle: DecoderProcess[];
  private readonly all: readonly DecoderProcess[];

  /**
   * Starts nothing yet.
   * @param ended is told of each process that ended unasked
   */
  constructor(
    private readonly settings: ReaderSettings,
    ended: (end: DecoderEnd) => void = () => {},
  ) {
    this.queue = new DecodeQueue(processes, settings.maxBytes);
    this.all = Array.from({ length: processes }, () => new DecoderProcess(ended));
    this.idle = [...this.all];
  }

  /** Has the processes ready before the first picture comes. */
  start(): void {
    for (const decoder of this.all) decoder.start().catch(() => {}); // whoever needs it next starts it again, and is told
  }

  get status() {
    const pids = this.all.map(({ pid }) => pid).filter((pid) => pid !== undefined);
    return { bytes: this.queue.bytes, waiting: this.queue.waiting, pids };
  }

  /**
   * Reads the header of an upload.
   * @param maxPixels width times height at most
   * @throws PictureError
   */
  inspect(bytes: Buffer, maxPixels: number): Starter {
    const file = readFile(bytes);
    if (!file) {
      throw new PictureError('unsupported_picture', `The upload is not a picture that can be read; send ${readable}.`);
    }
    const { format, orientation, animated, held } = file;
    const [width, height] = orientation >= 5 ? [file.height, file.width] : [file.width, file.height];
    if (width * height > maxPixels) {
      throw new PictureError(
        'picture_too_large',
        `The picture has ${width} x ${height} = ${width * height} pixels; at most ${maxPixels} are accepted.`,
      );
    }
    const header = { format, width: file.width, height: file.height, orientation, animated, held };
    return { width, height, bytes, header };
  }

  /**
   * Decodes a picture that was inspected, to sRGB without alpha.
   * @param background what transparency, and the bars of `contain`, are filled with
   * @throws PictureError; the signal's reason
   */
  decode(starter: Starter, size: Size, fit: Fit, background: Rgb, options: ReadOptions = {}): Promise<DecodedPicture> {
    return this.run(starter.header, { kind: 'picture', bytes: starter.bytes, size, fit, background }, options);
  }

  /**
   * Decodes a mask that was inspected, fitted as its starter is.
   * @param reading how the picture is meant
   * @throws PictureError; the signal's reason
   */
  decodeMask(
    mask: Starter,
    size: Size,
    fit: Fit,
    reading: MaskReading = {},
    options: ReadOptions = {},
  ): Promise<DecodedMask> {
    return this.run(mask.header, { kind: 'mask', bytes: mask.bytes, size, fit, reading }, options);
  }

  /** Ends the processes. */
  async close(): Promise<void> {
    await Promise.all(this.all.map((decoder) => decoder.close()));
  }

  private run<W extends Work>(header: Header, work: W, options: ReadOptions): Promise<Decoded<W>> {
    const cost = decodeCost(header, work.bytes.length, work.size);
    const task: Task<W> = {
      work,
      memoryBytes: cost * memorySlack.factor + memorySlack.bytes,
      cpuSeconds: Math.ceil((4 * this.settings.timeoutMs) / 1000),
    };
    return this.queue.run(cost, options, () => this.inProcess(task, options.signal));
  }

  private async inProcess<W extends Work>(task: Task<W>, signal: AbortSignal | undefined): Promise<Decoded<W>> {
    const decoder = this.idle.pop()!;
    const run = () => decoder.run(task, this.settings.timeoutMs, signal);
    try {
      return await run().catch((error) => {
        if (!(error instanceof DecoderLost)) throw error;
        return run(); // once more: it may have met somebody else's end
      });
    } catch (error) {
      throw error instanceof DecoderLost ? new PictureError('worker_lost', error.message) : error;
    } finally {
      this.idle.push(decoder);
    }
  }
}
