// Latents as a sequence of tokens, as Flux takes them: squares of two by two, row by row, each with all of its channels.
// Source: diffusers, pipeline_flux.py, _pack_latents, _unpack_latents and _prepare_latent_image_ids.

/** Latents along a side of a token. */
export const packSide = 2;

/** Both sides even. */
type Shape = readonly [channels: number, height: number, width: number];

/** @param latents [channels, height, width], flat @returns [tokens, channels * 4], flat */
export function packed(latents: Float32Array, shape: Shape): Float32Array {
  const out = new Float32Array(latents.length);
  eachNumber(shape, (plain, inTokens) => {
    out[inTokens] = latents[plain]!;
  });
  return out;
}

/** @param tokens [tokens, channels * 4], flat; more of them that follow do not count @returns [channels, height, width], flat */
export function unpacked(tokens: Float32Array, shape: Shape): Float32Array {
  const out = new Float32Array(shape[0] * shape[1] * shape[2]);
  eachNumber(shape, (plain, inTokens) => {
    out[plain] = tokens[inTokens]!;
  });
  return out;
}

/** Where each number of the latents lies, and where among the tokens. */
function eachNumber([channels, height, width]: Shape, visit: (plain: number, inTokens: number) => void): void {
  const columns = width / packSide;
  const size = channels * packSide ** 2;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const token = Math.floor(y / packSide) * columns + Math.floor(x / packSide);
        visit((c * height + y) * width + x, token * size + (c * packSide + (y % packSide)) * packSide + (x % packSide));
      }
    }
  }
}

/** The place of each token: the picture's number, its row and its column. @returns [tokens, 3], flat */
export function placesOf([, height, width]: Shape, picture: number): number[] {
  const [rows, columns] = [height / packSide, width / packSide];
  return Array.from({ length: rows * columns }, (_, i) => [picture, Math.floor(i / columns), i % columns]).flat();
}
