// Prompts -> what conditions the UNet. Sources: diffusers, encode_prompt of the Stable Diffusion and Stable Diffusion XL
// pipelines; of prompts in chunks AUTOMATIC1111's web UI, sd_hijack_clip.py.

import type { NamedEmbeddings } from '../../model-facts.js';
import { type PromptSyntax, parsePrompt, plainPieces } from '../../prompt-syntax.js';
import { fits, vectorInputs } from '../embeddings/fit.js';
import { embeddingFinder, type FindEmbedding } from '../embeddings/names.js';
import type { TextEncoder, TokenizerName } from '../folder/components.js';
import { aliases } from '../folder/signatures.js';
import { branchFeedsOf } from '../lora/branches.js';
import { denoiserOf, type Model } from '../model.js';
import { runInRows } from '../onnx/rows.js';
import { type Chunks, chunksOf } from './chunks.js';
import { emphasised } from './emphasis.js';
import { bytesOf, type EncodedPrompt, lengthened } from './encoded-prompt.js';
import { concat, joined } from './join.js';

/** A text, and how it is read. */
export interface Prompt {
  readonly text: string;
  readonly syntax: PromptSyntax;
  /** In as many chunks as it takes, where the UNet's graph takes more than one. */
  readonly long: boolean;
}

/**
 * Each text is encoded once, and of those only what the cache does not have.
 * @param requests the prompts of each, one for each of its rows in a UNet call
 * @returns those, of one length within a request: shorter ones go on with the empty text's
 */
export async function encodePrompts(
  model: Model,
  requests: readonly (readonly Prompt[])[],
): Promise<readonly EncodedPrompt[][]> {
  model.embeddings?.look();
  const encoded = await encodeOnce(model, requests.flat());
  const found = requests.map((prompts) => prompts.map((prompt) => encoded.get(keyOf(prompt))!));
  if (found.every(areEven)) return found;
  const empty: Prompt = { text: '', syntax: 'plain', long: false };
  const padding = (await encodeOnce(model, [empty])).get(keyOf(empty))!;
  return found.map((prompts) => {
    const length = Math.max(...prompts.map(lengthOf));
    return prompts.map((prompt) => lengthened(prompt, padding, length));
  });
}

const lengthOf = ({ embeds }: EncodedPrompt) => embeds.dims[0]!;
const areEven = (prompts: readonly EncodedPrompt[]) =>
  prompts.every((each) => lengthOf(each) === lengthOf(prompts[0]!));
const keyOf = ({ text, syntax, long }: Prompt) => `${syntax} ${long} ${text}`;

async function encodeOnce(model: Model, prompts: readonly Prompt[]): Promise<ReadonlyMap<string, EncodedPrompt>> {
  const encoded = new Map<string, EncodedPrompt>();
  const missing = new Map<string, Prompt>();
  const inCache = (key: string) => `${model.embeddings?.stamp ?? ''}\n${model.branches?.textKey ?? ''}\n${key}`;
  for (const [key, prompt] of new Map(prompts.map((prompt) => [keyOf(prompt), prompt]))) {
    const known = model.promptCache.get(inCache(key));
    if (known) encoded.set(key, known);
    else missing.set(key, prompt);
  }
  const fresh = await encode(model, [...missing.values()]);
  for (const [i, key] of [...missing.keys()].entries()) {
    const prompt = fresh[i]!;
    encoded.set(key, prompt);
    model.promptCache.set(inCache(key), prompt, bytesOf(prompt));
  }
  return encoded;
}

/** What one encoder makes of one prompt. */
interface Encoding {
  readonly component: TextEncoder;
  readonly tokens: number;
  readonly dropped: number;
  readonly embeds: Float32Array; // [tokens, width]
  readonly negativeEmbeds: Float32Array;
  readonly pooled: Float32Array | undefined; // [width]
  readonly named: NamedEmbeddings;
}

async function encode(model: Model, prompts: readonly Prompt[]): Promise<EncodedPrompt[]> {
  if (prompts.length === 0) return [];
  const sessions = model.folder.textEncoders.map(({ component }) => model.sessions[component]!);
  const work = () => encodeAll(model, prompts);
  return model.aroundEncoding ? model.aroundEncoding(sessions, work) : work();
}

async function encodeAll(model: Model, prompts: readonly Prompt[]): Promise<EncodedPrompt[]> {
  const encoders: Encoding[][] = [];
  for (const encoder of model.folder.textEncoders) encoders.push(await encodeWith(model, encoder, prompts));
  const skips = model.folder.textEncoders.some(({ output, negativeOutput }) => output !== negativeOutput);
  return prompts.map((_, i) => {
    const own = encoders.map((encodings) => encodings[i]!);
    const pools = own.flatMap(({ pooled }) => pooled ?? []);
    const pooled = pools.length > 0 ? concat(pools) : undefined;
    const embeds = joined(model.folder, own, 'embeds');
    return {
      embeds,
      negativeEmbeds: skips ? joined(model.folder, own, 'negativeEmbeds') : embeds,
      pooled: pooled && { data: pooled, dims: [pooled.length] },
      ...cutOf(own, model.folder.family.t5?.component),
      named: own[0]!.named,
    };
  });
}

/** A T5 reads on where CLIP has no room left. */
function cutOf(own: readonly Encoding[], t5: TextEncoder | undefined): Pick<EncodedPrompt, 'dropped' | 'beyondClip'> {
  const byClip = Math.max(...own.map(({ component, dropped }) => (component === t5 ? 0 : dropped)));
  const byT5 = own.find(({ component }) => component === t5)?.dropped;
  return byT5 === undefined ? { dropped: byClip, beyondClip: 0 } : { dropped: byT5, beyondClip: byClip };
}

/** The chunks of all prompts in one run. */
async function encodeWith(
  model: Model,
  { component, output, negativeOutput, pooled, tokenizer }: Model['folder']['textEncoders'][number],
  prompts: readonly Prompt[],
): Promise<Encoding[]> {
  const session = model.sessions[component]!;
  const name = session.nameOf(aliases.input_ids);
  const read = prompts.map((prompt) => chunksIn(model, prompt, tokenizer));
  const chunks = read.flatMap(({ chunks }) => chunks);
  const rows = chunks.map((chunk) => ({
    [name]: { data: chunk.ids, dims: [chunk.ids.length] },
    ...vectorInputs(model, component, chunk),
  }));
  const wanted = pooled ? [output, negativeOutput, pooled] : [output, negativeOutput];
  const branches = rows.map(() => model.branches?.rows[component] ?? []);
  const outputs = await runInRows(session, rows, wanted, branchFeedsOf(model, component, branches));
  let row = 0;
  return read.map(({ chunks, dropped, named }) => {
    const own = outputs.slice(row, row + chunks.length);
    row += chunks.length;
    const weighted = (which: number) =>
      concat(own.map((outputs, i) => emphasised(outputs[which]!, chunks[i]!.weights)));
    const embeds = weighted(0);
    return {
      component,
      tokens: chunks.length * chunks[0]!.ids.length,
      dropped,
      named,
      embeds,
      negativeEmbeds: output === negativeOutput ? embeds : weighted(1),
      pooled: own[0]![2], // of the first chunk and without weights, as there
    };
  });
}

function chunksIn(model: Model, prompt: Prompt, which: TokenizerName): Chunks & { readonly named: NamedEmbeddings } {
  const pieces = prompt.syntax === 'weighted' ? parsePrompt(prompt.text).pieces : plainPieces(prompt.text);
  const goesOn = model.folder.family.textJoin === 'beside'; // before a T5's tokens there is room for one chunk
  const anyLength = goesOn && typeof denoiserOf(model).shapeOf('encoder_hidden_states')[1] !== 'number';
  const tokenizer = model.tokenizers[which]!;
  const used = new Set<string>();
  const unfit = new Set<string>();
  const inLibrary = model.embeddings && embeddingFinder(model.embeddings, tokenizer);
  const find: FindEmbedding = (ids, position) => {
    const named = inLibrary?.(ids, position);
    if (!named) return undefined;
    const fit = fits(model, named.embedding);
    (fit ? used : unfit).add(named.embedding.name);
    return fit ? named : undefined;
  };
  const chunks = chunksOf(pieces, tokenizer, prompt.long && anyLength, find);
  return { ...chunks, named: { used: [...used], unfit: [...unfit] } };
}
