// Which proxies in front are believed, and what they say of the path that clients see.

import { BlockList, isIP } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { list } from '../../config.js';

/** @param hop 0 for whoever connects, 1 for the proxy before it, and so on */
export type Trust = (address: string, hop: number) => boolean;

declare module 'fastify' {
  interface FastifyRequest {
    /** What a proxy has taken off the path: '', or such as `/service`. */
    pathPrefix: string;
  }
}

/** @param setting TRUST_PROXY, as it was checked when it was read: how many hops, or addresses and networks */
export function trustOf(setting: string | undefined): Trust {
  if (setting === undefined) return () => false;
  if (/^\d$/.test(setting)) return (_, hop) => hop < Number(setting);
  const trusted = new BlockList();
  for (const item of list(setting)) {
    const [address = '', bits] = item.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) trusted.addAddress(address, family);
    else trusted.addSubnet(address, Number(bits), family);
  }
  return (address) => {
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
    return trusted.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
  };
}

/** Reads X-Forwarded-Prefix of trusted proxies: it stands in addresses that the server tells. */
export function readPathPrefix(app: FastifyInstance, trust: Trust): void {
  app.decorateRequest('pathPrefix', '');
  app.addHook('onRequest', async (request: FastifyRequest) => {
    const prefix = request.headers['x-forwarded-prefix'];
    const isPath = typeof prefix === 'string' && /^(\/[\w.~-]{1,100}){1,8}$/.test(prefix);
    if (isPath && trust(request.socket.remoteAddress ?? '', 0)) request.pathPrefix = prefix;
  });
}
