// How connections end when the server does: what runs is answered, then every connection is closed.

import type { FastifyInstance } from 'fastify';

/**
 * Node counts a connection that never sent a request as busy (browsers and clients open such ones in advance), so that
 * close() would wait for it for a minute. Here close() waits for requests, not for connections.
 */
export function closeConnectionsWhenIdle(app: FastifyInstance, lifecycle: { readonly draining: boolean }): void {
  let requests = 0;
  let closing = false;
  const closeIfIdle = () => {
    if (closing && requests === 0) app.server.closeAllConnections();
  };
  app.addHook('onRequest', async (_request, reply) => {
    requests++;
    // Not onResponse: it does not fire for a client that left.
    reply.raw.once('close', () => {
      requests--;
      setImmediate(closeIfIdle); // the answer's last bytes first
    });
  });
  app.addHook('preClose', async () => {
    closing = true;
    setImmediate(closeIfIdle); // after the listener is closed
  });
  app.addHook('onSend', async (_request, reply) => {
    if (lifecycle.draining) reply.header('connection', 'close');
  });
}
