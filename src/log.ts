// The log: lines of JSON or text on stdout in which no key can stand, and no prompt unless LOG_PROMPTS says so.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { type LogFn, type Logger, pino } from 'pino';
import type { Config } from './config.js';

/** Headers that carry keys. */
const secrets = ['authorization', 'proxy-authorization', 'x-api-key', 'cookie', 'set-cookie'];
const prompts = ['prompt', 'negative_prompt', 'negativePrompt'];

/** What is logged holds these by themselves, in one object (`headers`, `body`) or in two (`req.headers`). */
const depths = ['', '*', '*.*'];

/** A line for what happened, with what a person wants to know of it; of an ordinary request its end. */
const forPeople = {
  hooks: {
    logMethod(this: Logger, line: Parameters<LogFn>, log: LogFn) {
      if (line[1] !== 'incoming request') log.apply(this, line);
    },
  },
  transport: {
    target: 'pino-pretty',
    options: {
      translateTime: 'HH:MM:ss',
      singleLine: true,
      ignore: 'pid,hostname,req,res,reqId,trace_id,span_id,responseTime',
      messageFormat:
        '{if res.method}{res.method} {res.url} {end}{msg}{if res.statusCode}, {res.statusCode} in {res.ms} ms{end}',
    },
  },
};

/** @param text for a person at a terminal; otherwise JSON */
export function createLogger({ LOG_LEVEL, LOG_PROMPTS }: Config, text: boolean): Logger {
  const hidden = LOG_PROMPTS ? secrets : [...secrets, ...prompts];
  return pino({
    level: LOG_LEVEL,
    redact: depths.flatMap((depth) => hidden.map((name) => `${depth}["${name}"]`)),
    serializers: { req: requestLine, ...(text && { res: answerLine }) },
    ...(text && forPeople),
  });
}

/** Fastify's, without the query: no route takes one, so that what stands there is a mistake, perhaps a key or a prompt. */
function requestLine({ method, url, host, ip, socket }: FastifyRequest) {
  return { method, url: url.split('?')[0], host, remoteAddress: ip, remotePort: socket?.remotePort };
}

function answerLine({ request, statusCode, elapsedTime }: FastifyReply) {
  return { method: request.method, url: request.url.split('?')[0], statusCode, ms: Math.round(elapsedTime) };
}
