// The line between the HTTP process and a worker: structured clones, each in a frame of its length and so many bytes. Node's own
// channel throws where a process writes what is no message, and takes frames of any length; here that is told instead.

import type { Duplex } from 'node:stream';
import { deserialize, serialize } from 'node:v8';
import { maxSide } from '../../model-facts.js';

/** Of a worker: beside its input, output and log. */
export const channelFd = 3;

/** The largest picture that a model may make, with its mask, and room for all that is said beside it, prompts among that. */
const mostBytes = 4 * maxSide.any ** 2 + 2 ** 26;
const headerBytes = 4;

export interface ChannelEvents {
  message(message: unknown): void;
  /** What came in is no message; nothing more is read. */
  broken(reason: string): void;
}

export class Channel {
  private chunks: Buffer[] = [];
  private held = 0;
  private isBroken = false;

  constructor(
    private readonly stream: Duplex,
    private readonly events: ChannelEvents,
  ) {
    stream.on('data', (chunk: Buffer) => this.receive(chunk));
    stream.on('error', () => {}); // the other end is gone; its process's end is told elsewhere
  }

  /** @param sent when the system has taken it; what cannot be sent any more is dropped */
  send(message: unknown, sent?: () => void): void {
    if (!this.stream.writable) {
      sent?.();
      return;
    }
    const body = serialize(message);
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32LE(body.length);
    this.stream.cork();
    this.stream.write(header);
    this.stream.write(body, () => sent?.());
    this.stream.uncork();
  }

  private receive(chunk: Buffer): void {
    if (this.isBroken) return;
    this.chunks.push(chunk);
    this.held += chunk.length;
    for (let frame = this.nextFrame(); frame && !this.isBroken; frame = this.nextFrame()) {
      let message: unknown;
      try {
        message = deserialize(frame);
      } catch (error) {
        this.break(`${frame.length} bytes are no message: ${(error as Error).message}`);
        return;
      }
      this.events.message(message);
    }
  }

  private nextFrame(): Buffer | undefined {
    if (this.held < headerBytes) return undefined;
    if (this.chunks[0]!.length < headerBytes) this.chunks = [Buffer.concat(this.chunks)];
    const length = this.chunks[0]!.readUInt32LE();
    if (length > mostBytes) {
      this.break(`a message of ${length} bytes begins; at most ${mostBytes} are taken`);
      return undefined;
    }
    const end = headerBytes + length;
    if (this.held < end) return undefined;
    const all = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
    this.chunks = all.length > end ? [all.subarray(end)] : [];
    this.held = all.length - end;
    return all.subarray(headerBytes, end);
  }

  private break(reason: string): void {
    this.isBroken = true;
    this.chunks = [];
    this.events.broken(reason);
  }
}
