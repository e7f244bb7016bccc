import { type Duplex, duplexPair } from 'node:stream';
import { serialize } from 'node:v8';
import t from 'tap';
import { readConfig } from '../../src/config.js';
import { Channel } from '../../src/engine/shared/channel.js';
import { maxSide } from '../../src/model-facts.js';

function pair(): { from: Duplex; heard: unknown[]; broken: string[]; channel: Channel } {
  const [from, to] = duplexPair();
  const heard: unknown[] = [];
  const broken: string[] = [];
  const channel = new Channel(to, {
    message: (message) => heard.push(message),
    broken: (reason) => broken.push(reason),
  });
  return { from, heard, broken, channel };
}

const frame = (message: unknown): Buffer => {
  const body = serialize(message);
  const header = Buffer.alloc(4);
  header.writeUInt32LE(body.length);
  return Buffer.concat([header, body]);
};

const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

t.test('messages come out as they went in, however the bytes are cut', async (t) => {
  const messages = [{ type: 'a', data: new Uint8Array(200_000).fill(7) }, null, 'text', { nested: [1, undefined] }];
  const bytes = Buffer.concat(messages.map(frame));
  for (const size of [1, 3, 4, 5, 4096, 65_536, bytes.length]) {
    const { from, heard, broken } = pair();
    const step = size < 10 ? size : size;
    const cut = size < 10 ? bytes.subarray(200_000) : bytes; // the rest is one by one too slow
    const whole = size < 10 ? Buffer.concat(messages.slice(1).map(frame)) : cut;
    for (let at = 0; at < whole.length; at += step) from.write(whole.subarray(at, at + step));
    await settled();
    t.strictSame(heard, size < 10 ? messages.slice(1) : messages, `${size} bytes at a time`);
    t.strictSame(broken, []);
  }
});

t.test('what one end sends the other hears', async (t) => {
  const [left, right] = duplexPair();
  const heard: unknown[] = [];
  const events = { message: (message: unknown) => heard.push(message), broken() {} };
  const sender = new Channel(left, events);
  new Channel(right, events);
  await new Promise<void>((sent) => sender.send({ pixels: new Uint8Array([1, 2, 3]) }, sent));
  await settled();
  t.strictSame(heard, [{ pixels: new Uint8Array([1, 2, 3]) }]);
  left.destroy();
  await new Promise<void>((sent) => sender.send('to nobody', sent));
});

t.test('what is no message is told once, and what came before it is heard', async (t) => {
  const huge = Buffer.from([1, 0, 0, 20]);
  for (const [what, bytes, reason] of [
    ['garbage', Buffer.from([4, 0, 0, 0, 1, 2, 3, 4]), /4 bytes are no message/],
    ['nothing at all', Buffer.alloc(4), /0 bytes are no message/],
    ['text', Buffer.from('Segmentation fault'), /a message of \d+ bytes begins; at most 335544320 are taken/],
    ['a huge message', huge, /a message of 335544321 bytes begins/],
  ] as const) {
    const { from, heard, broken } = pair();
    from.write(frame('before'));
    from.write(bytes);
    from.write(frame('after'));
    await settled();
    t.strictSame(heard, ['before'], what);
    t.equal(broken.length, 1, what);
    t.match(broken[0], reason, what);
  }
});

t.test('the largest picture with its mask and the longest prompts is a message', async (t) => {
  const longest = { MAX_PROMPT_CHARS: '1000000', MAX_LORAS: '32' };
  const { MAX_PROMPT_CHARS, MAX_LORAS } = readConfig(longest);
  for (const [name, value] of Object.entries(longest)) {
    t.throws(() => readConfig({ [name]: `${Number(value) + 1}` }), { message: new RegExp(name) }, name);
  }
  const prompt = 'あ'.repeat(MAX_PROMPT_CHARS);
  const lora = { name: 'x'.repeat(200), digest: 'x'.repeat(64), scale: 0.5 };
  const beside = { prompt, negativePrompt: prompt, loras: Array.from({ length: MAX_LORAS }, () => ({ ...lora })) };
  const length = 4 * maxSide.any ** 2 + serialize(beside).length + 10_000; // of all other fields
  const { from, broken } = pair();
  const header = Buffer.alloc(4);
  header.writeUInt32LE(length);
  from.write(header);
  await settled();
  t.strictSame(broken, []);
});
