// What a model folder's text encoders give, and what of it the pipeline takes.

import type { ModelSource, TokenizerSource } from '../checkpoint/model-source.js';
import type { GraphFacts } from '../onnx/graph-facts.js';
import { number } from './configs.js';
import type { Family } from './family.js';
import { ModelFolderError } from './model-folder-error.js';
import { PartConfig } from './schemas.js';

export const textEncoders = ['text_encoder', 'text_encoder_2'] as const;
export type TextEncoder = (typeof textEncoders)[number];

export interface TextEncoderFacts {
  readonly component: TextEncoder;
  readonly tokenizer: 'tokenizer' | 'tokenizer_2';
  readonly tokenizerSource: TokenizerSource;
  readonly maxTokens: number;
  /** The output that conditions the UNet: of the prompt, and of the negative prompt, which a clip skip leaves alone. */
  readonly output: string;
  readonly negativeOutput: string;
  /** The output with the pooled embedding, where the UNet takes it. */
  readonly pooled: string | undefined;
}

/**
 * Which of a text encoder's outputs the pipeline takes: SD the last hidden state, SDXL the one before it, without the final norm.
 * @param clipSkip further layers to leave out for the prompt; only graphs that give their hidden states can
 */
export function textEncoderFacts(
  source: ModelSource,
  component: TextEncoder,
  facts: GraphFacts,
  { architecture }: Family,
  clipSkip: number,
): TextEncoderFacts {
  const config = source.json(`${component}/config.json`, PartConfig, {});
  const outputs = [...facts.outputs.keys()];
  const hidden = outputs.filter((name) => /^hidden_states\.\d+$/.test(name));
  const tokenizer = component === 'text_encoder' ? 'tokenizer' : 'tokenizer_2';
  const shared = {
    component,
    tokenizer,
    tokenizerSource: source.tokenizer(tokenizer),
    maxTokens: number(config.max_position_embeddings) ?? 77, // CLIP
  } as const;
  if (architecture === 'sd') {
    if (clipSkip > 0) {
      throw new ModelFolderError(
        `img2img.json asks for clip_skip ${clipSkip}, which a Stable Diffusion text encoder cannot do: its graph ends with the final norm`,
      );
    }
    const named = ['last_hidden_state', 'text_embeddings'].find((name) => outputs.includes(name));
    const output = named ?? outputs[0]!;
    return { ...shared, output, negativeOutput: output, pooled: undefined };
  }
  const layers = number(config.num_hidden_layers) ?? hidden.length - 1;
  const output = `hidden_states.${layers - 1 - clipSkip}`;
  if (!hidden.includes(output)) {
    throw new ModelFolderError(`${component} has no output ${output}; export it with its hidden states`);
  }
  const pooled = component === 'text_encoder_2' ? outputs.find((name) => name === 'text_embeds') : undefined;
  if (component === 'text_encoder_2' && !pooled) throw new ModelFolderError('text_encoder_2 has no output text_embeds');
  return { ...shared, output, negativeOutput: `hidden_states.${layers - 1}`, pooled };
}
