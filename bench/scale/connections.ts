import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { feel, type Part, start } from './service.js';

const count = 1000;

/** Connections that have had one answer and are kept open. */
export async function idleConnections(): Promise<Part> {
  const server = await start(10);
  const { hostname, port } = new URL(server.url);
  const rows: Part['rows'][number][] = [{ when: 'before', open: 0, ...(await feel(server)) }];
  const sockets: Socket[] = [];
  let closed = 0;
  for (let i = 0; i < count; i++) {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.on('close', () => closed++);
    socket.write(`GET /livez HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
    await once(socket, 'data');
    sockets.push(socket);
  }
  rows.push({ when: `beside ${count} idle connections`, open: count - closed, ...(await feel(server)) });
  for (const socket of sockets) socket.destroy();
  await sleep(1000);
  rows.push({ when: 'after they were closed', open: 0, ...(await feel(server)) });
  await server.stop();
  return { title: 'Idle connections', note: 'Each has asked `/livez` once and stays open.', rows };
}
