// npm run docs:settings writes docs/settings.md's table from the schema.

import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { settingsTable } from '../src/config.js';

const begin = '<!-- settings: npm run docs:settings -->';
const end = '<!-- /settings -->';

export function settingsMarkdown(): string {
  const rows = settingsTable.map((setting) => `| \`${setting.name}\` | ${setting.default} | ${setting.description} |`);
  return [begin, '| setting | default | meaning |', '| --- | --- | --- |', ...rows, end].join('\n');
}

if (import.meta.url === pathToFileURL(argv[1]!).href) {
  const file = new URL('settings.md', import.meta.url);
  const text = readFileSync(file, 'utf8');
  writeFileSync(
    file,
    text.slice(0, text.indexOf(begin)) + settingsMarkdown() + text.slice(text.indexOf(end) + end.length),
  );
}
