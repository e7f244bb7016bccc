// What the text encoders give -> the embeddings of a prompt. Sources: diffusers, encode_prompt of the pipelines of Stable Diffusion
// XL, Stable Diffusion 3 and Flux.

import type { Family } from '../families/family.js';
import type { TextEncoder } from '../folder/components.js';
import type { Row } from '../onnx/rows.js';

interface Encoded {
  readonly component: TextEncoder;
  readonly tokens: number;
  readonly embeds: Float32Array; // [tokens, width]
  readonly negativeEmbeds: Float32Array;
}

interface Joining {
  readonly family: Pick<Family, 'textJoin' | 't5'>;
  readonly contextWidth: number | undefined;
}

/** @param encodings of all text encoders that there are, in their order */
export function joined(
  { family, contextWidth }: Joining,
  encodings: readonly Encoded[],
  part: 'embeds' | 'negativeEmbeds',
): Row {
  const beside = (some: readonly Encoded[]) =>
    joinWidths(
      some.map((each) => each[part]),
      some[0]!.tokens,
    );
  if (family.textJoin === 'beside') return beside(encodings);
  const t5 = encodings.find(({ component }) => component === family.t5?.component);
  if (family.textJoin === 't5') return beside([t5!]);
  const clips = beside(encodings.filter((each) => each !== t5));
  const after = t5 ? t5[part] : undefined;
  return clipThenT5(clips, after, after ? after.length / t5!.tokens : contextWidth!);
}

/** Each of CLIP's tokens is filled up with zeros to the width of T5's, which follow; without them as many zeros as CLIP has. */
function clipThenT5({ data, dims }: Row, t5: Float32Array | undefined, width: number): Row {
  const [tokens, own] = dims as [number, number];
  if (own > width)
    throw new RangeError(`the embeddings of CLIP have ${own} numbers a token, and the model takes ${width}`);
  const after = t5 ? t5.length / width : tokens;
  const all = new Float32Array((tokens + after) * width);
  for (let token = 0; token < tokens; token++) {
    all.set((data as Float32Array).subarray(token * own, (token + 1) * own), token * width);
  }
  if (t5) all.set(t5, tokens * width);
  return { data: all, dims: [tokens + after, width] };
}

export function concat(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!;
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    all.set(part, position);
    position += part.length;
  }
  return all;
}

/** Concatenates the encoders' embeddings token by token. */
function joinWidths(parts: readonly Float32Array[], tokens: number): Row {
  const width = parts.reduce((sum, part) => sum + part.length / tokens, 0);
  if (parts.length === 1) return { data: parts[0]!, dims: [tokens, width] };
  const data = new Float32Array(tokens * width);
  for (let token = 0, position = 0; token < tokens; token++) {
    for (const part of parts) {
      const own = part.length / tokens;
      data.set(part.subarray(token * own, (token + 1) * own), position);
      position += own;
    }
  }
  return { data, dims: [tokens, width] };
}
