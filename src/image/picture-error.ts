/** What is wrong with an uploaded picture, in a sentence for whoever sent it. */
export class PictureError extends Error {
  constructor(
    readonly code: 'unsupported_picture' | 'undecodable_picture' | 'picture_too_large',
    message: string,
  ) {
    super(message);
  }
}
