import t from 'tap';
import { preferred } from '../../src/http/server/negotiation.js';

const offered = ['image/png', 'image/jpeg', 'image/webp', 'image/avif'];

t.test('Accept decides by weight, then by specificity, then in our order', async (t) => {
  const cases: [accept: string | undefined, format: string | undefined][] = [
    [undefined, 'png'],
    ['', 'png'],
    ['*/*', 'png'],
    ['IMAGE/JPEG', 'jpeg'],
    ['image/avif, image/webp', 'webp'],
    ['image/avif;q=1, image/webp;q=0.9', 'avif'],
    ['image/png;q=0, image/*', 'jpeg'],
    ['image/*;q=0.1, image/webp;q=0.2', 'webp'],
    ['text/html, application/json', undefined],
    ['image/heic', undefined],
    ['image/png;q=0', undefined],
  ];
  for (const [accept, format] of cases)
    t.equal(preferred(accept, offered), format && `image/${format}`, String(accept));
});
