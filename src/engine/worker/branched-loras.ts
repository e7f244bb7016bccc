// LoRAs that run beside a model's weights: read when a request names them, and kept as the graphs take them while there is room.
// Lives in the worker.

import type { LoraUse } from '../../img2img-request.js';
import {
  areBranches,
  branchesOf,
  bytesOfPacked,
  layoutsOf,
  type PackedLoras,
  pack,
  partsOf,
  type UsedBranch,
} from '../../pipeline/lora/branches.js';
import { type Matched, matchLora, naming, tensorsOf } from '../../pipeline/lora/match.js';
import { branchedModel, type Model } from '../../pipeline/model.js';
import { asLoraError } from './lora-error.js';
import type { LoraStore } from './lora-store.js';
import type { Beside } from './model-store.js';

interface Known {
  /** What it was matched with. */
  readonly base: Model;
  readonly unusedKeys: number;
  /** undefined for one that can only be folded. */
  readonly parts: number | undefined;
  packed?: PackedLoras;
}

/** LoRAs of which something is remembered; what takes memory of them is bounded by bytes. */
const mostKnown = 1000;

export class BranchedLoras implements Beside {
  /** By model and digest; the longest unused first. */
  private readonly known = new Map<string, Known>();

  constructor(
    private readonly loras: LoraStore,
    private readonly inUse: () => ReadonlySet<Model>,
  ) {}

  get bytes(): number {
    return bytesOf(this.known.values());
  }

  get bytesInUse(): number {
    return bytesOf([...this.known.values()].filter((one) => this.isInUse(one)));
  }

  private isInUse({ packed = {} }: Known): boolean {
    const inUse = [...this.inUse()].flatMap(({ branches }) => Object.values(branches?.rows ?? {}).flat());
    return Object.values(packed).some((own) => inUse.some((one) => one.packed === own));
  }

  /**
   * Whether these run as branches of a loaded model.
   * @throws LoraError when they do not fit it
   */
  take(base: Model, loras: readonly LoraUse[]): boolean {
    return areBranches(loras.map((lora) => this.look(base, lora).parts));
  }

  /** Whether nothing of them has to be read. */
  have(base: Model, loras: readonly LoraUse[]): boolean {
    return loras.every((lora) => this.look(base, lora).packed);
  }

  /**
   * @param loras that `take` has taken
   * @param makeRoom for so many bytes; one that gets none is read and not kept
   * @throws LoraError when a file is not what it was
   */
  async get(base: Model, loras: readonly LoraUse[], makeRoom: (bytes: number) => Promise<boolean>): Promise<Model> {
    const used: UsedBranch[] = [];
    let unusedKeys = 0;
    for (const lora of loras) {
      const known = this.look(base, lora);
      unusedKeys += known.unusedKeys;
      const packed = known.packed ?? pack(layoutsOf(base.folder), this.match(base, lora));
      used.push({ ...lora, packed });
      if (!known.packed && (await makeRoom(bytesOfPacked(packed)))) known.packed = packed;
    }
    return branchedModel(base, branchesOf(used), unusedKeys);
  }

  /** It is the last to leave from here on. */
  private look(base: Model, lora: LoraUse): Known {
    const key = `${base.folder.name}\n${lora.digest}`;
    const found = this.known.get(key);
    this.known.delete(key);
    const one = found?.base === base ? found : this.learn(base, lora);
    this.known.set(key, one);
    const [oldest] = this.known.keys();
    if (this.known.size > mostKnown) this.known.delete(oldest!);
    return one;
  }

  private learn(base: Model, lora: LoraUse): Known {
    const matched = this.match(base, lora);
    return { base, unusedKeys: matched.unusedKeys, parts: partsOf(layoutsOf(base.folder), matched) };
  }

  private match(base: Model, { name, digest }: LoraUse): Matched {
    return asLoraError(() => {
      const file = this.loras.open(name, digest);
      return naming(name, () => matchLora(file, tensorsOf(base.folder), 1));
    });
  }

  async makeRoom(fits: () => boolean): Promise<void> {
    for (const one of this.known.values()) {
      if (fits()) return;
      if (!this.isInUse(one)) delete one.packed;
    }
  }
}

const bytesOf = (some: Iterable<Known>) =>
  [...some].reduce((sum, { packed }) => sum + (packed ? bytesOfPacked(packed) : 0), 0);
