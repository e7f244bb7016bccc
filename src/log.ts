// The log: lines of JSON or text on stdout in which no key can stand, and no prompt unless LOG_PROMPTS says so.

import type { FastifyRequest } from 'fastify';
import { type Logger, pino } from 'pino';
import type { Config } from './config.js';

/** Headers that carry keys. */
const secrets = ['authorization', 'proxy-authorization', 'x-api-key', 'cookie', 'set-cookie'];
const prompts = ['prompt', 'negative_prompt', 'negativePrompt'];

/** What is logged holds these by themselves, in one object (`headers`, `body`) or in two (`req.headers`). */
const depths = ['', '*', '*.*'];

/** A line for what happened, with what a person wants to know of it. */
const oneLine = {
  translateTime: 'HH:MM:ss',
  singleLine: true,
  ignore: 'pid,hostname,req,res,reqId,trace_id,span_id,responseTime',
  messageFormat:
    '{if req.method}{req.method} {req.url} {end}{msg}{if res.statusCode}, {res.statusCode} in {responseTime} ms{end}',
};

/** @param text for a person at a terminal; otherwise JSON */
export function createLogger({ LOG_LEVEL, LOG_PROMPTS }: Config, text: boolean): Logger {
  const hidden = LOG_PROMPTS ? secrets : [...secrets, ...prompts];
  return pino({
    level: LOG_LEVEL,
    redact: depths.flatMap((depth) => hidden.map((name) => `${depth}["${name}"]`)),
    serializers: { req: requestLine },
    ...(text && {
      transport: { target: 'pino-pretty', options: oneLine },
    }),
  });
}

/** Fastify's, without the query: no route takes one, so that what stands there is a mistake, perhaps a key or a prompt. */
function requestLine({ method, url, host, ip, socket }: FastifyRequest) {
  return { method, url: url.split('?')[0], host, remoteAddress: ip, remotePort: socket?.remotePort };
}
