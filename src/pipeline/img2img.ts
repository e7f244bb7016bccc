// The pipeline: prepare requests, denoise them step by step, decode what is done. UNet calls take the rows of many requests.

export { decode } from './decode.js';
export { canShareCall, denoise } from './denoise.js';
export { type Generation, isDone, rowsOf } from './generation.js';
export { prepare } from './prepare.js';
