// What the text encoder made of the latest prompts, so that a prompt that comes again costs nothing. One per model.

export class PromptCache<V> {
  hits = 0;
  misses = 0;
  private bytes = 0;
  /** Oldest use first: a Map keeps the order of insertion. */
  private readonly entries = new Map<string, { readonly value: V; readonly bytes: number }>();

  /** @param maxBytes of all values together; the least recently used go first */
  constructor(private readonly maxBytes: number) {}

  /** Counts a hit or a miss. */
  get(text: string): V | undefined {
    const entry = this.entries.get(text);
    if (!entry) {
      this.misses++;
      return undefined;
    }
    this.hits++;
    this.entries.delete(text);
    this.entries.set(text, entry);
    return entry.value;
  }

  /** A value that is larger than the whole cache is not kept. */
  set(text: string, value: V, bytes: number): void {
    this.drop(text);
    if (bytes > this.maxBytes) return;
    this.entries.set(text, { value, bytes });
    this.bytes += bytes;
    for (const oldest of this.entries.keys()) {
      if (this.bytes <= this.maxBytes) return;
      this.drop(oldest);
    }
  }

  private drop(text: string): void {
    this.bytes -= this.entries.get(text)?.bytes ?? 0;
    this.entries.delete(text);
  }
}
