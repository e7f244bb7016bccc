// Weights and extra networks in a prompt, as AUTOMATIC1111's web UI writes them: (x) is 1.1, [x] is 1/1.1, (x:1.3) is 1.3, and
// brackets in brackets multiply. A text that is no such thing is words, so that nothing here can fail.
// Source: the web UI's wiki, "Attention/emphasis" and "Extra networks", and what its prompt_parser does with odd cases.

/** How a prompt is read. */
export const promptSyntaxes = ['plain', 'weighted'] as const;
export type PromptSyntax = (typeof promptSyntaxes)[number];

/** A piece of a prompt whose tokens have one weight; `break` begins a new chunk. */
export type Piece = { readonly text: string; readonly weight: number } | 'break';

/** `<kind:argument>`, such as `<lora:name:0.8>`. */
export interface ExtraNetwork {
  readonly kind: string;
  readonly argument: string;
}

export interface ParsedPrompt {
  readonly pieces: readonly Piece[];
  /** In their order; they are no words of the prompt. */
  readonly networks: readonly ExtraNetwork[];
  /** A weight was outside of -10 to 10, or brackets were deeper than they are read. */
  readonly limited: boolean;
  /** It has what the web UI reads as changes between steps, or as several prompts: [a:b:0.5], [a|b], AND. */
  readonly changes: boolean;
}

/** Largest weight, either way. */
const maxWeight = 10;
/** Of open brackets of one kind, which bounds the work for a text; 1.1 ** 25 is beyond the largest weight. */
const maxDepth = 32;
const roundWeight = 1.1;
const squareWeight = 1 / 1.1;

const network = /<(\w{1,40}):([^<>]{1,300})>/g;
const bit = /\\[()[\]\\]?|[([\])]|:\s*([+-]?[.\d]+)\s*\)|[^\\()[\]:]+|:/g;
const breaks = /(?<![\p{L}\p{N}_])BREAK(?![\p{L}\p{N}_])/u;

/** All of a text as words. */
export const plainPieces = (text: string): readonly Piece[] => [{ text, weight: 1 }];

/** Takes time that grows with the text's length, and not faster. */
export function parsePrompt(prompt: string): ParsedPrompt {
  const networks = [...prompt.matchAll(network)].map(([, kind, argument]) => ({ kind: kind!, argument: argument! }));
  const text = prompt.replace(network, '');
  const pieces: ({ text: string; weight: number } | 'break')[] = [];
  const round = new Brackets(pieces, roundWeight);
  const square = new Brackets(pieces, squareWeight);
  const words = (text: string) => pieces.push({ text, weight: 1 });

  for (const [found, number] of text.matchAll(bit)) {
    const weight = Number(number ?? Number.NaN);
    if (found === '(') round.open();
    else if (found === '[') square.open();
    else if (found === ')' && round.isOpen) round.close();
    else if (found === ']' && square.isOpen) square.close();
    else if (number !== undefined && round.isOpen) {
      if (Number.isNaN(weight)) words(found.slice(0, -1)); // (a:1.2.3)
      round.close(weight);
    } else if (found.startsWith('\\')) words(found.slice(1));
    else {
      const parts = found.split(breaks);
      for (const [i, part] of parts.entries()) {
        if (i > 0) pieces.push('break');
        words(part);
      }
    }
  }
  round.closeAll();
  square.closeAll();

  const beyond = pieces.some((piece) => piece !== 'break' && Math.abs(piece.weight) > maxWeight);
  return {
    pieces: joined(pieces),
    networks,
    limited: beyond || round.tooDeep || square.tooDeep,
    changes: hasChanges(text),
  };
}

/** The words of a prompt alone, whichever their weights. */
export function wordsOf(prompt: string, syntax: PromptSyntax): string {
  if (syntax === 'plain') return prompt;
  return parsePrompt(prompt)
    .pieces.map((piece) => (piece === 'break' ? ' ' : piece.text))
    .join('');
}

/** The open brackets of one kind. Kinds do not know of each other: ([a)] weighs as the web UI weighs it. */
class Brackets {
  tooDeep = false;
  /** Where each begins; undefined for those that are too deep to weigh. */
  private readonly starts: (number | undefined)[] = [];

  constructor(
    private readonly pieces: ({ text: string; weight: number } | 'break')[],
    private readonly weight: number,
  ) {}

  get isOpen(): boolean {
    return this.starts.length > 0;
  }

  open(): void {
    if (this.starts.length >= maxDepth) this.tooDeep = true;
    this.starts.push(this.starts.length < maxDepth ? this.pieces.length : undefined);
  }

  /** @param weight NaN for the kind's own */
  close(weight = Number.NaN): void {
    const start = this.starts.pop();
    if (start === undefined) return;
    const factor = Number.isNaN(weight) ? this.weight : weight;
    for (let i = start; i < this.pieces.length; i++) {
      const piece = this.pieces[i]!;
      if (piece !== 'break') piece.weight *= factor;
    }
  }

  /** What was never closed ends with the text, the outer ones first, as there. */
  closeAll(): void {
    this.starts.reverse();
    while (this.isOpen) this.close();
  }
}

/** Neighbours of one weight are one piece: a word may go on behind a bracket. */
function joined(pieces: readonly Piece[]): readonly Piece[] {
  const all: Piece[] = [];
  const texts: string[][] = [];
  for (const piece of pieces) {
    if (piece === 'break') {
      all.push(piece);
      texts.push([]);
      continue;
    }
    const weight = Math.min(maxWeight, Math.max(-maxWeight, piece.weight));
    const last = all.at(-1);
    if (last !== undefined && last !== 'break' && last.weight === weight) texts.at(-1)!.push(piece.text);
    else {
      all.push({ text: '', weight });
      texts.push([piece.text]);
    }
  }
  return all
    .map((piece, i) => (piece === 'break' ? piece : { ...piece, text: texts[i]!.join('') }))
    .filter((piece) => piece === 'break' || piece.text !== '');
}

function hasChanges(text: string): boolean {
  if (/(?<![\p{L}\p{N}_])AND(?![\p{L}\p{N}_])/u.test(text)) return true;
  return [...text.matchAll(/\[([^[\]()]{1,300})\]/g)].some(([, inside]) => /[:|]/.test(inside!));
}
