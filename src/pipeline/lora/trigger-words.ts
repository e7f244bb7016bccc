// The words that a LoRA was trained with, where its file tells. Source: github.com/Stability-AI/ModelSpec, `trigger_phrase`.

const most = { words: 20, length: 100 } as const;

export function triggerWordsOf(metadata: ReadonlyMap<string, string>): string[] {
  return (metadata.get('modelspec.trigger_phrase') ?? '')
    .slice(0, most.words * most.length)
    .split(',')
    .map((word) => word.trim().slice(0, most.length))
    .filter((word) => word !== '')
    .slice(0, most.words);
}
