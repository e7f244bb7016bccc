/** Why an uploaded picture was not read, in a sentence for whoever sent it. */
export class PictureError extends Error {
  constructor(
    readonly code: PictureErrorCode,
    message: string,
  ) {
    super(message);
  }

  /** False for what is the server's: the same picture may be read when it comes again. */
  get isOfThePicture(): boolean {
    return this.code !== 'overloaded' && this.code !== 'worker_lost';
  }
}

/** A file of a format that is read, whose parts do not say what they must. */
export function damaged(what: string): PictureError {
  return new PictureError('undecodable_picture', `The picture is damaged or cut off: ${what}.`);
}

export type PictureErrorCode =
  | 'unsupported_picture'
  | 'undecodable_picture'
  | 'picture_too_large'
  | 'overloaded'
  | 'worker_lost';
