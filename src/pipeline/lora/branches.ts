// LoRAs that run beside the weights (graphs/branches): which can, and their matrices as the graphs take them.

import { closeSync, openSync } from 'node:fs';
import type { Component } from '../folder/components.js';
import type { ModelFolder } from '../folder/model-folder.js';
import { branchInputs } from '../graphs/branches.js';
import type { BranchLayout } from '../graphs/graph-writer.js';
import type { Factors, WeightChange } from '../graphs/low-rank.js';
import type { Input } from '../onnx/sessions.js';
import { numbersOf } from '../safetensors/numbers.js';
import { type LoraPart, loraParts } from './keys.js';
import type { Matched } from './match.js';

/** Matrices of a larger rank lie in several parts, those of a smaller one are filled up with zeros. */
const partRank = 16;
/** Of all LoRAs of a request together, in parts: a branch takes longer with each, and a folded weight does not. */
const mostParts = 8;

export interface PackedLora {
  readonly parts: number;
  readonly downs: Float32Array; // [parts, partRank, the layout's width of them]
  readonly ups: Float32Array; // the same, times alpha / rank
}

/** By the part of the model that it changes. */
export type PackedLoras = Readonly<Partial<Record<LoraPart, PackedLora>>>;

/** What the LoRAs of a row add, in their order. */
export type RowBranches = readonly { readonly packed: PackedLora; readonly scale: number }[];

/** Of all rows of a request. */
export interface ModelBranches {
  readonly rows: Readonly<Partial<Record<Component, RowBranches>>>;
  /** What of them decides how prompts are encoded; empty where nothing does. */
  readonly textKey: string;
}

export interface UsedBranch {
  /** sha256 of its file */
  readonly digest: string;
  readonly scale: number;
  readonly packed: PackedLoras;
}

export type Layouts = Readonly<Partial<Record<LoraPart, BranchLayout>>>;

/** The same model with inputs for LoRAs in those of its graphs that we write. */
export function withBranches(folder: ModelFolder): ModelFolder {
  const branched = loraParts.flatMap((part) => {
    const graph = folder.graphs[part];
    return typeof graph === 'object' ? [[part, graph.withBranches()]] : [];
  });
  return { ...folder, graphs: { ...folder.graphs, ...Object.fromEntries(branched) } };
}

export function layoutsOf({ graphs }: Pick<ModelFolder, 'graphs'>): Layouts {
  return Object.fromEntries(
    loraParts.flatMap((part) => {
      const graph = graphs[part];
      return typeof graph === 'object' && graph.branches ? [[part, graph.branches]] : [];
    }),
  );
}

/** In parts; undefined for one that changes more than layers with a branch, or by another formula than a product. */
export function partsOf(layouts: Layouts, { changes }: Matched): number | undefined {
  let parts = 0;
  for (const part of loraParts) {
    for (const [weight, { factors }] of changes[part] ?? []) {
      const [only] = factors;
      const fits = layouts[part]?.places.has(weight) && factors.length === 1 && only && !only.core;
      if (!fits) return undefined;
      parts = Math.max(parts, partsOfRank(only));
    }
  }
  return parts;
}

/** Whether LoRAs run as branches: this depends on them and on the model alone. @param parts each one's */
export function areBranches(parts: readonly (number | undefined)[]): boolean {
  return parts.reduce<number>((sum, each) => sum + (each ?? Number.POSITIVE_INFINITY), 0) <= mostParts;
}

/** @throws RangeError when the file is cut off */
export function pack(layouts: Layouts, { changes }: Matched): PackedLoras {
  return Object.fromEntries(
    loraParts.flatMap((part) => {
      const own = changes[part];
      return own && own.size > 0 ? [[part, packPart(layouts[part]!, own)]] : [];
    }),
  );
}

function packPart(
  { downsWidth, upsWidth, places }: BranchLayout,
  changes: ReadonlyMap<string, WeightChange>,
): PackedLora {
  const pairs = [...changes].map(([weight, { scale, factors }]) => ({
    scale,
    factors: factors[0]!,
    ...places.get(weight)!,
  }));
  const parts = Math.max(...pairs.map(({ factors }) => partsOfRank(factors)));
  const downs = new Float32Array(parts * partRank * downsWidth);
  const ups = new Float32Array(parts * partRank * upsWidth);
  const descriptor = openSync(pairs[0]!.factors.down.file, 'r');
  try {
    for (const { factors, scale, down, from, up, to } of pairs) {
      const [rank] = factors.down.shape as [number];
      const own = { downs: numbersOf(descriptor, factors.down), ups: numbersOf(descriptor, factors.up) };
      for (let k = 0; k < rank; k++) {
        downs.set(own.downs.subarray(k * from, (k + 1) * from), k * downsWidth + down);
        const row = k * upsWidth + up;
        for (let i = 0; i < to; i++) ups[row + i] = own.ups[i * rank + k]! * scale;
      }
    }
  } finally {
    closeSync(descriptor);
  }
  return { parts, downs, ups };
}

const partsOfRank = ({ down }: Factors) => Math.ceil(down.shape[0]! / partRank);

export function branchesOf(used: readonly UsedBranch[]): ModelBranches {
  const rows = loraParts.map((part) => {
    const own = used.flatMap(({ packed, scale }) => (packed[part] ? [{ packed: packed[part], scale }] : []));
    return [part, own] as const;
  });
  const texts = used.filter(({ packed }) => packed.text_encoder ?? packed.text_encoder_2);
  return { rows: Object.fromEntries(rows), textKey: texts.map(({ digest, scale }) => `${digest}:${scale}`).join() };
}

export const bytesOfPacked = (packed: PackedLoras): number =>
  Object.values(packed).reduce((sum, { downs, ups }) => sum + downs.byteLength + ups.byteLength, 0);

/** What a part of a model is fed for these rows, those without LoRAs among them; nothing where its graph has no branches. */
export function branchFeedsOf(
  { folder: { graphs } }: { readonly folder: Pick<ModelFolder, 'graphs'> },
  part: Component,
  rows: readonly RowBranches[],
): Readonly<Record<string, Input>> {
  const graph = graphs[part];
  return typeof graph === 'object' && graph.branches ? branchFeeds(rows, graph.branches) : {};
}

function branchFeeds(rows: readonly RowBranches[], { downsWidth, upsWidth }: BranchLayout): Record<string, Input> {
  const parts = Math.max(...rows.map((row) => row.reduce((sum, { packed }) => sum + packed.parts, 0)));
  const some = parts > 0 ? rows : rows.slice(0, 1);
  const rank = parts > 0 ? partRank : 0;
  const downs = new Float32Array(some.length * parts * rank * downsWidth);
  const ups = new Float32Array(some.length * parts * rank * upsWidth);
  for (const [i, row] of some.entries()) {
    let at = i * parts * rank;
    for (const { packed, scale } of row) {
      downs.set(packed.downs, at * downsWidth);
      setScaled(ups, packed.ups, at * upsWidth, scale);
      at += packed.parts * rank;
    }
  }
  return {
    [branchInputs.downs]: { data: downs, dims: [some.length, Math.max(parts, 1), rank, downsWidth] },
    [branchInputs.ups]: { data: ups, dims: [some.length, parts * rank, upsWidth] },
  };
}

function setScaled(target: Float32Array, source: Float32Array, at: number, scale: number): void {
  if (scale === 1) target.set(source, at);
  else for (let i = 0; i < source.length; i++) target[at + i] = source[i]! * scale;
}
