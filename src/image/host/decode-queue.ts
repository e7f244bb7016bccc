// Who is decoded when. One picture a process; a memory account over all; small pictures pass large ones.

import { FairQueue } from '../../fair-queue.js';
import { PictureError } from '../shared/picture-error.js';

/** A decode of at most this share of the account is small, and may use every process. */
const smallShare = 1 / 16;
/** The share that is kept for small ones. */
const keptShare = 1 / 8;
/** More than these wait nowhere: their uploads take memory too. */
const maxWaiting = 256;

interface Waiting {
  readonly caller: string;
  readonly group: number;
  /** Bytes, as a measure of the time that it takes. */
  readonly work: number;
  start(): void;
}

export class DecodeQueue {
  private readonly small = new FairQueue<Waiting>();
  private readonly large = new FairQueue<Waiting>();
  private readonly running = { small: 0, large: 0, largeBytes: 0, smallBytes: 0 };
  private readonly smallBytes: number;
  /** What all small ones may take together. */
  private readonly keptBytes: number;
  /** What all large ones may take together. */
  private readonly largeBytes: number;
  private nextGroup = 0;

  /**
   * @param places decodes at the same time, at least 2: one is kept for small ones
   * @param maxBytes that all of them may take together
   */
  constructor(
    private readonly places: number,
    maxBytes: number,
  ) {
    this.smallBytes = maxBytes * smallShare;
    this.keptBytes = maxBytes * keptShare;
    this.largeBytes = maxBytes - this.keptBytes;
  }

  get bytes(): number {
    return this.running.largeBytes + this.running.smallBytes;
  }

  get waiting(): number {
    return this.small.size + this.large.size;
  }

  /**
   * Runs it when there is room.
   * @param bytes that it takes
   * @param signal what waits no longer when it aborts
   * @throws PictureError for more than is ever given, or too many that wait; the signal's reason
   */
  async run<T>(
    bytes: number,
    { caller = '', signal }: { readonly caller?: string | undefined; readonly signal?: AbortSignal | undefined },
    decode: () => Promise<T>,
  ): Promise<T> {
    const isSmall = bytes <= this.smallBytes;
    if (!isSmall && bytes > this.largeBytes) {
      throw new PictureError(
        'picture_too_large',
        `Decoding the picture would take ${megabytes(bytes)} of memory; at most ${megabytes(this.largeBytes)} are given to one (MAX_DECODE_BYTES).`,
      );
    }
    if (this.waiting >= maxWaiting) {
      throw new PictureError('overloaded', `${this.waiting} pictures wait to be decoded; send it again later.`);
    }
    await this.turn(isSmall, bytes, caller, signal);
    try {
      return await decode();
    } finally {
      this.count(isSmall, bytes, -1);
      this.dispatch();
    }
  }

  private turn(isSmall: boolean, bytes: number, caller: string, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const queue = isSmall ? this.small : this.large;
      const onAbort = () => {
        queue.remove(item);
        reject(signal!.reason);
      };
      const item: Waiting = {
        caller,
        group: this.nextGroup++,
        work: bytes,
        start: () => {
          signal?.removeEventListener('abort', onAbort);
          this.count(isSmall, bytes, 1);
          resolve();
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      queue.add(item);
      this.dispatch();
    });
  }

  /** A large one that waits has a place of its own, so that a crowd of small ones does not hold it up for ever. */
  private dispatch(): void {
    for (;;) {
      const { running } = this;
      const free = this.places - running.small - running.large;
      if (free === 0) return;
      const large = this.large.peek();
      const roomForLarge =
        large && running.large < this.places - 1 && running.largeBytes + large.work <= this.largeBytes;
      const small = this.small.peek();
      const roomForSmall =
        small && running.smallBytes + small.work <= this.keptBytes && (free > 1 || !large || running.large > 0);
      const next = (roomForSmall ? this.small.take() : undefined) ?? (roomForLarge ? this.large.take() : undefined);
      if (!next) return;
      next.start();
    }
  }

  private count(isSmall: boolean, bytes: number, sign: 1 | -1): void {
    this.running[isSmall ? 'small' : 'large'] += sign;
    this.running[isSmall ? 'smallBytes' : 'largeBytes'] += sign * bytes;
  }
}

const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;
