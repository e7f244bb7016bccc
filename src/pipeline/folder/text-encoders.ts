// What a model folder's text encoders give, and what of it the pipeline takes.

import type { ModelSource, TokenizerSource } from '../checkpoint/model-source.js';
import type { GraphFacts } from '../onnx/graph-facts.js';
import { type Component, type TextEncoder, type TokenizerName, tokenizers } from './components.js';
import { number } from './configs.js';
import { ModelFolderError } from './model-folder-error.js';
import { PartConfig } from './schemas.js';

export interface TextEncoderFacts {
  readonly component: TextEncoder;
  /** Which of the two it is: they take texts apart in other ways. */
  readonly language: 'clip' | 't5';
  readonly tokenizer: TokenizerName;
  readonly tokenizerSource: TokenizerSource;
  readonly maxTokens: number;
  /** The output that conditions the UNet: of the prompt, and of the negative prompt, which a clip skip leaves alone. */
  readonly output: string;
  readonly negativeOutput: string;
  /** The output with the pooled embedding, where the UNet takes it. */
  readonly pooled: string | undefined;
}

export type TextOutputs = Pick<TextEncoderFacts, 'output' | 'negativeOutput' | 'pooled'>;

/** Of a text encoder. */
interface Outputs {
  readonly names: readonly string[];
  /** Where its config says how many there are. */
  readonly layers: number | undefined;
}

/**
 * Which of a text encoder's outputs a family takes.
 * @param clipSkip further layers to leave out for the prompt; only graphs that give their hidden states can
 * @throws ModelFolderError where there is no such output
 */
export type ChooseTextOutputs = (component: TextEncoder, outputs: Outputs, clipSkip: number) => TextOutputs;

/** What a family says of its text encoders. */
export interface TextRules {
  readonly textOutputs: ChooseTextOutputs;
  /** Which of them is a T5, and how many tokens its pipelines give it, padding included. */
  readonly t5?: { readonly component: TextEncoder; readonly tokens: number };
}

/** With the final norm, as the graph ends. */
export const lastHiddenState: ChooseTextOutputs = (_component, { names }, clipSkip) => {
  if (clipSkip > 0) {
    throw new ModelFolderError(
      `img2img.json asks for clip_skip ${clipSkip}, which a Stable Diffusion text encoder cannot do: its graph ends with the final norm`,
    );
  }
  const output = ['last_hidden_state', 'text_embeddings'].find((name) => names.includes(name)) ?? names[0]!;
  return { output, negativeOutput: output, pooled: undefined };
};

/** Without the final norm; and of the second encoder the pooled embedding. */
export const hiddenStateBeforeLast: ChooseTextOutputs = (component, { names, layers }, clipSkip) => {
  const hidden = names.filter((name) => /^hidden_states\.\d+$/.test(name));
  const last = (layers ?? hidden.length - 1) - 1;
  const output = `hidden_states.${last - clipSkip}`;
  if (!hidden.includes(output)) {
    throw new ModelFolderError(`${component} has no output ${output}; export it with its hidden states`);
  }
  const pooled = component === 'text_encoder_2' ? names.find((name) => name === 'text_embeds') : undefined;
  if (component === 'text_encoder_2' && !pooled) throw new ModelFolderError('text_encoder_2 has no output text_embeds');
  return { output, negativeOutput: `hidden_states.${last}`, pooled };
};

/** Of both CLIPs the hidden state before the last and the pooled embedding, of the T5 after them the last. */
export const clipsAndT5: ChooseTextOutputs = (component, outputs, clipSkip) => {
  if (component === 'text_encoder_3') {
    const [output] = outputs.names;
    return { output: output!, negativeOutput: output!, pooled: undefined };
  }
  const pooled = outputs.names.find((name) => name === 'text_embeds');
  if (pooled) return { ...hiddenStateBeforeLast(component, outputs, clipSkip), pooled };
  throw new ModelFolderError(`${component} has no output text_embeds: it must be a CLIP with projection`);
};

/** Of the CLIP nothing but the pooled embedding, of the T5 the last hidden state. */
export const clipPooledAndT5: ChooseTextOutputs = (component, { names }, clipSkip) => {
  if (clipSkip > 0) {
    throw new ModelFolderError(
      `img2img.json asks for clip_skip ${clipSkip}, and Flux takes no hidden state of its CLIP`,
    );
  }
  const pooled = component === 'text_encoder' ? names.find((name) => name === 'pooler_output') : undefined;
  if (component === 'text_encoder' && !pooled) throw new ModelFolderError('text_encoder has no output pooler_output');
  const output = names.find((name) => name === 'last_hidden_state') ?? names[0]!;
  return { output, negativeOutput: output, pooled };
};

/**
 * A T5's embeddings have the width that the transformer takes, and CLIP's pooled ones have it together.
 * @throws ModelFolderError for encoders of another model, as far as the graphs tell
 */
export function checkTextWidths(
  encoders: readonly TextEncoder[],
  facts: Readonly<Partial<Record<Component, GraphFacts>>>,
  { denoiser, t5: rule }: Pick<TextRules, 't5'> & { readonly denoiser: 'unet' | 'transformer' },
): void {
  const inputs = facts[denoiser]!.inputs;
  const given = (component: TextEncoder, output: string) =>
    number(facts[component]!.outputs.get(output)?.shape?.at(-1)) ?? Number.NaN;
  const compare = (what: string, width: number, input: string) => {
    const taken = number(inputs.get(input)?.shape?.at(-1));
    if (Number.isNaN(width) || taken === undefined || width === taken) return;
    throw new ModelFolderError(
      `${what} ${width} numbers wide, and the ${denoiser} takes ${taken}: they are another model's`,
    );
  };
  const t5 = encoders.find((component) => component === rule?.component);
  const pooledOf = (component: TextEncoder) =>
    given(component, facts[component]!.outputs.has('text_embeds') ? 'text_embeds' : 'pooler_output');
  const clips = encoders.filter((component) => component !== t5);
  const pooled = clips.reduce((sum, component) => sum + pooledOf(component), 0);
  compare(`the pooled embeddings of ${clips.join(' and ')} are`, pooled, 'pooled_projections');
  if (t5) compare(`the embeddings of ${t5} are`, given(t5, 'last_hidden_state'), 'encoder_hidden_states');
}

/** @throws ModelFolderError */
export function textEncoderFacts(
  source: ModelSource,
  component: TextEncoder,
  facts: GraphFacts,
  { textOutputs: choose, t5 }: TextRules,
  clipSkip: number,
): TextEncoderFacts {
  const config = source.json(`${component}/config.json`, PartConfig, {});
  const tokenizer = tokenizers[component];
  const isT5 = t5?.component === component;
  return {
    component,
    language: isT5 ? 't5' : 'clip',
    tokenizer,
    tokenizerSource: source.tokenizer(tokenizer),
    maxTokens: isT5 ? t5.tokens : (number(config.max_position_embeddings) ?? 77), // CLIP's
    ...choose(component, { names: [...facts.outputs.keys()], layers: number(config.num_hidden_layers) }, clipSkip),
  };
}
