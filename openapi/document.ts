// The OpenAPI document as the app serves it with the default settings.

import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { defaultConfig, engineSettings } from '../src/config.js';
import { Engine } from '../src/engine/host/engine.js';
import { buildApp } from '../src/http/app.js';

export const documentPath = new URL('./openapi.json', import.meta.url);

/** The text of openapi.json. No engine runs for it. */
export async function openapiDocument(): Promise<string> {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const engine = new Engine(engineSettings(defaultConfig));
  const logger = pino({ level: 'silent' });
  const { app } = await buildApp({
    config: defaultConfig,
    engine,
    logger,
    lifecycle: { draining: false },
    build: { version, revision: 'unknown' },
  });
  await app.ready();
  const document = `${JSON.stringify(app.swagger(), null, 2)}\n`;
  await app.close();
  return document;
}
