// What a model's encoders made of the latest prompts and starters, so that what comes again costs nothing.

export class RecentValues<V> {
  hits = 0;
  misses = 0;
  private bytes = 0;
  /** Oldest use first: a Map keeps the order of insertion. */
  private readonly entries = new Map<string, { readonly value: V; readonly bytes: number }>();

  /** @param maxBytes of all values together; the least recently used go first */
  constructor(private readonly maxBytes: number) {}

  /** Counts a hit or a miss. */
  get(key: string): V | undefined {
    const entry = this.entries.get(key);
    if (!entry) {
      this.misses++;
      return undefined;
    }
    this.hits++;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.value;
  }

  /** A value that is larger than the whole cache is not kept. */
  set(key: string, value: V, bytes: number): void {
    this.drop(key);
    if (bytes > this.maxBytes) return;
    this.entries.set(key, { value, bytes });
    this.bytes += bytes;
    for (const oldest of this.entries.keys()) {
      if (this.bytes <= this.maxBytes) return;
      this.drop(oldest);
    }
  }

  private drop(key: string): void {
    this.bytes -= this.entries.get(key)?.bytes ?? 0;
    this.entries.delete(key);
  }
}
