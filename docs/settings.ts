// npm run docs:settings writes README's table of settings from the schema.

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
  const readme = new URL('../README.md', import.meta.url);
  const text = readFileSync(readme, 'utf8');
  writeFileSync(
    readme,
    text.slice(0, text.indexOf(begin)) + settingsMarkdown() + text.slice(text.indexOf(end) + end.length),
  );
}
