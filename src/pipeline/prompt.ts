// Prompts -> what conditions the UNet. Source: diffusers, encode_prompt of the Stable Diffusion and Stable Diffusion XL pipelines.

import { bytesOf, type EncodedPrompt } from './encoded-prompt.js';
import { aliases } from './folder/signatures.js';
import type { Model } from './model.js';
import { type Row, runInRows } from './onnx/rows.js';
import type { Tokens } from './tokenizer.js';

/** The texts encoded, each once, and of those only what the cache does not have. */
export async function encodePrompts(
  model: Model,
  texts: readonly string[],
): Promise<ReadonlyMap<string, EncodedPrompt>> {
  const prompts = new Map<string, EncodedPrompt>();
  const missing: string[] = [];
  for (const text of new Set(texts)) {
    const known = model.promptCache.get(text);
    if (known) prompts.set(text, known);
    else missing.push(text);
  }
  for (const [text, prompt] of await encode(model, missing)) {
    prompts.set(text, prompt);
    model.promptCache.set(text, prompt, bytesOf(prompt));
  }
  return prompts;
}

async function encode({ folder, sessions, tokenizers }: Model, texts: readonly string[]) {
  if (texts.length === 0) return [];
  const encoders: { tokens: readonly Tokens[]; outputs: readonly Float32Array[][] }[] = [];
  for (const { component, output, negativeOutput, pooled, tokenizer } of folder.textEncoders) {
    const session = sessions[component]!;
    const tokens = texts.map((text) => tokenizers[tokenizer]!(text));
    const name = session.nameOf(aliases.input_ids);
    const rows = tokens.map(({ ids }) => ({ [name]: { data: ids, dims: [ids.length] } }));
    const wanted = pooled ? [output, negativeOutput, pooled] : [output, negativeOutput];
    encoders.push({ tokens, outputs: await runInRows(session, rows, wanted) });
  }
  const skips = folder.textEncoders.some(({ output, negativeOutput }) => output !== negativeOutput);
  return texts.map((text, i): [string, EncodedPrompt] => {
    const length = encoders[0]!.tokens[i]!.ids.length;
    const [pooled] = encoders.map(({ outputs }) => outputs[i]![2]).filter((data) => data !== undefined);
    const joined = (output: number) =>
      joinWidths(
        encoders.map(({ outputs }) => outputs[i]![output]!),
        length,
      );
    const embeds = joined(0);
    const negativeEmbeds = skips ? joined(1) : embeds;
    const dropped = Math.max(...encoders.map(({ tokens }) => tokens[i]!.dropped));
    return [text, { embeds, negativeEmbeds, pooled: pooled && { data: pooled, dims: [pooled.length] }, dropped }];
  });
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
