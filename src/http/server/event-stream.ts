// Server-sent events (WHATWG HTML, 9.2), one answer's worth of them.

import { PassThrough } from 'node:stream';

export class EventStream {
  /** What is sent as the answer's body. */
  readonly body = new PassThrough();
  private readonly heartbeat: NodeJS.Timeout;

  /** @param heartbeatMs between the comments that keep proxies from closing a line on which nothing happens */
  constructor(heartbeatMs: number) {
    // Something has to be written for the headers to leave: a client then knows at once that it was taken.
    this.body.write(': taken\n\n');
    this.heartbeat = setInterval(() => {
      if (!this.isBehind) this.body.write(': heartbeat\n\n');
    }, heartbeatMs);
    this.body.once('close', () => clearInterval(this.heartbeat)); // ended, or the client left
  }

  /** True while the client reads slower than events come: then what can be missed is not sent, so that it does not pile up. */
  get isBehind(): boolean {
    return this.body.writableNeedDrain;
  }

  send(event: string, data: object): void {
    if (this.body.writable) this.body.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  end(): void {
    this.body.end();
    clearInterval(this.heartbeat);
  }
}
