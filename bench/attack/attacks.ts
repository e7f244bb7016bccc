// The list of attacks. Each goes on for as long as it is told; the pictures are those of the tests.

import { attacks as hostilePictures, largePictures } from '../../test/image/attacks.js';
import { authorized, head, json, keepSaying, type Outcomes, say, type Target, upload } from './sockets.js';

export interface Attack {
  readonly name: string;
  /** Of its requests, at the same time. */
  readonly atOnce: number;
  /** What it says again and again; made before it begins. */
  readonly prepare: (target: Target) => Promise<(i: number) => Promise<string>>;
}

const nulls = (count: number) => `{"image":"","x_field":"seed","x_values":[${'null,'.repeat(count)}null]}`;
const keys = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":1`).join(',')}}`;
const nested = (depth: number) => `{"prompt":${'['.repeat(depth)}${']'.repeat(depth)}}`;

function bodies(name: string, path: string, body: () => string): Attack {
  const prepare = async (target: Target) => {
    const parts = json(target, path, body());
    return () => say(target.port, parts);
  };
  return { name, atOnce: 8, prepare };
}

const seventyMegabytes = Buffer.alloc(70_000_000, ' ');
function unread(line: string): Attack {
  const prepare = async (target: Target) => {
    const type = ['Content-Type: application/json', `Content-Length: ${seventyMegabytes.length}`];
    const parts = [head(line, authorized(target), ...type), seventyMegabytes];
    return () => say(target.port, parts);
  };
  return { name: `${line} with 70 MB of JSON`, atOnce: 20, prepare };
}

let hostile: ReturnType<typeof hostilePictures> | undefined;
let large: ReturnType<typeof largePictures> | undefined;
async function pictureNamed(name: string): Promise<Buffer> {
  hostile ??= hostilePictures();
  const make = (await hostile)[name];
  if (make) return make();
  large ??= largePictures();
  return (await large)[name]!();
}

/** Its picture is made with no step, so that it is the upload that costs. */
function picture(name: string, atOnce: number, told = name): Attack {
  const prepare = async (target: Target) => {
    const fields = { steps: '1', strength: '0.01', width: '32', height: '32' };
    const parts = upload(target, await pictureNamed(name), fields);
    return () => say(target.port, parts);
  };
  return { name: told, atOnce, prepare };
}

const wrongEdits = [
  '"n":1000',
  '"n":1e308',
  '"n":-1',
  '"n":NaN',
  '"seed":NaN',
  '"seed":1e400',
  '"seed":"x"',
  '"n":"8"',
];

/** Said once each, at the beginning, by so many connections; whoever is let go comes back. */
const connections = 500;

const slowHeads = ['', 'POST /img2img HTTP/1.1\r\nHost: a\r\nX-Slow: ', 'GET /livez HTTP/1.1\r\nHost: a\r\nX: '];

export const attackList: readonly Attack[] = [
  bodies('JSON: a million nulls in x_values (5 MB)', '/img2img/sheet', () => nulls(1_000_000)),
  bodies('JSON: 12 MB of nulls in x_values', '/img2img/sheet', () => nulls(2_400_000)),
  bodies('JSON: a million keys', '/img2img', () => keys(1_000_000)),
  bodies('JSON: lists 100,000 deep', '/img2img', () => nested(100_000)),
  unread('OPTIONS /img2img'),
  unread('POST /nothing'),
  unread('DELETE /img2img'),
  unread('POST /sdapi/v1/interrupt'),
  picture('PNG: 100 zTXt of 8 MB', 20),
  picture('PNG: iCCP of 512 MB', 20),
  picture('AVIF', 20, 'AVIF of 48 megapixels'),
  picture('PNG, 16 bits, interlaced', 20, 'PNG of 48 megapixels, 16 bits, interlaced'),
  picture('GIF: 100,000 frames', 20),
  picture('PNG: 100,000 frames', 20),
  picture('TIFF: 100,000 directories', 20),
  {
    name: 'edits: n beyond MAX_N, seed NaN and others',
    atOnce: 20,
    prepare: async (target) => {
      const image = '"images":[{"image_url":"data:image/png;base64,AAAA"}],"prompt":"a"';
      const all = wrongEdits.map((field) => json(target, '/v1/images/edits', `{${image},${field}}`));
      return (i) => say(target.port, all[i % all.length]!);
    },
  },
  {
    name: 'wrong keys',
    atOnce: 20,
    prepare: async ({ port }) => {
      return (i) => say(port, [head(`POST /img2img`, `Authorization: Bearer wrong-${i}`, 'Content-Length: 0')]);
    },
  },
  {
    name: 'two Hosts',
    atOnce: 20,
    prepare: async (target) => () => say(target.port, [head('GET /models', 'Host: other', authorized(target))]),
  },
  {
    name: 'headers a byte a second',
    atOnce: connections,
    prepare: async (target) => {
      const parts = slowHeads.map((text) => [Buffer.from(text)]);
      return (i) => say(target.port, parts[i % parts.length]!, { dripMs: 1000 });
    },
  },
  {
    name: 'half-closed before the body',
    atOnce: connections,
    prepare: async (target) => {
      const parts = json(target, '/img2img', '{"image":"').slice(0, 1);
      return () => say(target.port, parts, { halfClose: true });
    },
  },
  {
    name: 'uploads broken off after 5 of 20 MB',
    atOnce: 20,
    prepare: async (target) => {
      const parts = upload(target, Buffer.alloc(20_000_000)).slice(0, 2);
      parts.push(Buffer.alloc(5_000_000));
      return () => say(target.port, parts, { breakOff: true });
    },
  },
];

export async function run(attack: Attack, target: Target, seconds: number, begin: () => void): Promise<Outcomes> {
  const one = await attack.prepare(target);
  begin();
  return keepSaying(attack.atOnce, performance.now() + 1000 * seconds, one);
}
