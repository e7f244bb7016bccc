// The normalizer of sentencepiece's models: a table of replacements, compiled into a trie. The library normalizes by Unicode's NFKC
// instead, which differs from T5's table. Source: google/sentencepiece, normalizer.cc, DecodePrecompiledCharsMap; s-yata/darts-clone,
// darts.h, for the trie; huggingface/spm_precompiled, whose graphemes tokenizers goes by.

/** Graphemes of fewer bytes are looked up whole before their characters are. */
const shortBytes = 6;
const maxTrieBytes = 16 * 2 ** 20;

/**
 * @param charsmap base64 of: the trie's length in bytes (uint32, little-endian), the trie, replacements in UTF-8 that end with 0
 * @returns replaces what the table knows, of any text
 * @throws RangeError for what is no such table
 */
export function precompiledNormalizer(charsmap: string): (text: string) => string {
  const bytes = Buffer.from(charsmap, 'base64');
  const trieBytes = bytes.length >= 4 ? bytes.readUInt32LE(0) : 0;
  if (trieBytes === 0 || trieBytes % 4 !== 0 || trieBytes > maxTrieBytes || 4 + trieBytes > bytes.length) {
    throw new RangeError('precompiled_charsmap is no table of characters');
  }
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i));
  const replacements = bytes.subarray(4 + trieBytes);
  const known = new Map<string, string | undefined>();
  const find = (text: string): string | undefined => {
    if (known.has(text)) return known.get(text);
    const at = shortestPrefix(units, Buffer.from(text));
    const found = at === undefined ? undefined : replacementAt(replacements, at);
    if (known.size < mostKnown) known.set(text, found);
    return found;
  };
  return (text) => {
    let normalized = '';
    for (const { segment } of graphemes.segment(text)) {
      const whole = Buffer.byteLength(segment) < shortBytes ? find(segment) : undefined;
      if (whole !== undefined) normalized += whole;
      else for (const character of segment) normalized += find(character) ?? character;
    }
    return normalized;
  };
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const mostKnown = 10_000;

/** The value of the shortest key that the text begins with. */
function shortestPrefix(units: Uint32Array, key: Uint8Array): number | undefined {
  const offsetOf = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let place = offsetOf(units[0]!);
  for (const byte of key) {
    if (byte === 0) return undefined;
    place ^= byte;
    const unit = units[place];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
    place ^= offsetOf(unit);
    if (((unit >>> 8) & 1) === 1) return (units[place] ?? 0) & 0x7fffffff;
  }
  return undefined;
}

function replacementAt(replacements: Buffer, at: number): string {
  const end = replacements.indexOf(0, at);
  return replacements.toString('utf8', at, end === -1 ? replacements.length : end);
}
