/** What is wrong with an uploaded picture, in a sentence for whoever sent it. */
export class PictureError extends Error {
  constructor(
    readonly code: PictureErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** A file of a format that is read, whose parts do not say what they must. */
export function damaged(what: string): PictureError {
  return new PictureError('undecodable_picture', `The picture is damaged or cut off: ${what}.`);
}

export type PictureErrorCode = 'unsupported_picture' | 'undecodable_picture' | 'picture_too_large' | 'overloaded';
