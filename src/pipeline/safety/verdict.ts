// Whether a picture shows what a safety checker looks for: how near its embedding comes to those of concepts. Source: diffusers,
// pipelines/stable_diffusion/safety_checker.py, StableDiffusionSafetyChecker.forward.

/** Each concept with the cosine from which a picture shows it. */
export interface Concept {
  readonly embeds: Float32Array;
  readonly threshold: number;
}

export interface Concepts {
  /** What flags a picture. */
  readonly bad: readonly Concept[];
  /** What lowers the thresholds of the bad ones, and flags nothing by itself. */
  readonly specialCare: readonly Concept[];
}

/** What special care adds to every score. */
const adjustment = 0.01;

/** @param embeds of a picture, as long as the concepts' */
export function isFlagged(embeds: Float32Array, { bad, specialCare }: Concepts): boolean {
  const added = specialCare.some((concept) => isAbove(scoreOf(embeds, concept, 0))) ? adjustment : 0;
  return bad.some((concept) => isAbove(scoreOf(embeds, concept, added)));
}

/** In float32, as numpy has it. */
function scoreOf(embeds: Float32Array, concept: Concept, added: number): number {
  const { fround } = Math;
  return fround(fround(fround(cosine(embeds, concept.embeds)) - concept.threshold) + fround(added));
}

/** Scores are rounded to thousandths, halves down to 0, before they are compared with it. */
const isAbove = (score: number) => Math.fround(score * 1000) > 0.5;

function cosine(a: Float32Array, b: Float32Array): number {
  let [product, ofA, ofB] = [0, 0, 0];
  for (const [i, x] of a.entries()) {
    product += x * b[i]!;
    ofA += x * x;
    ofB += b[i]! ** 2;
  }
  const shortest = 1e-12; // torch's normalize
  return product / Math.max(Math.sqrt(ofA), shortest) / Math.max(Math.sqrt(ofB), shortest);
}
