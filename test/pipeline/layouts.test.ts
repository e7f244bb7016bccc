import t from 'tap';
import { layouts } from '../../src/pipeline/layouts.js';
import type { Session } from '../../src/pipeline/onnx/sessions.js';

/** Two rows of 16 channels, 4 x 6, with three words each. */
const shape = [16, 4, 6] as const;
const row = (beside?: Float32Array) => ({
  sample: new Float32Array(16 * 4 * 6),
  timestep: 500,
  condition: { prompt: { embeds: { data: new Float32Array(3 * 8), dims: [3, 8] } }, beside },
});
const denoiser = (ids: readonly (string | number)[]) =>
  ({ shapeOf: () => ids, nameOf: () => 'hidden_states' }) as unknown as Session;

t.test('the places of tokens are one list for all rows, or one for each, as the graph has it', async (t) => {
  const cases: [ids: (string | number)[], image: number[], text: number[]][] = [
    [
      ['tokens', 3],
      [6, 3],
      [3, 3],
    ],
    [
      ['batch', 'tokens', 3],
      [2, 6, 3],
      [2, 3, 3],
    ],
    [
      [1, 'tokens', 3],
      [1, 6, 3],
      [1, 3, 3],
    ],
  ];
  for (const [ids, image, text] of cases) {
    const feeds = layouts.tokens.feeds(denoiser(ids), [row(), row()], shape);
    t.strictSame(feeds.img_ids?.dims, image, `${ids}`);
    t.strictSame(feeds.txt_ids?.dims, text);
    const places = [0, 1].flatMap((y) => [0, 1, 2].flatMap((x) => [0, y, x]));
    const lists = image.length === 3 ? image[0]! : 1;
    t.strictSame([...feeds.img_ids!.data], Array(lists).fill(places).flat());
    t.strictSame(feeds.hidden_states?.dims, [2, 6, 64]);
    t.strictSame([...feeds.timestep!.data], [0.5, 0.5]);
  }
});

t.test('what goes beside the latents are further tokens, of a second picture', async (t) => {
  const feeds = layouts.tokens.feeds(denoiser(['tokens', 3]), [row(new Float32Array(16 * 4 * 6))], shape);
  t.strictSame(feeds.hidden_states?.dims, [1, 12, 64]);
  t.strictSame(
    [...feeds.img_ids!.data].filter((_, i) => i % 3 === 0),
    [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
  );
});
