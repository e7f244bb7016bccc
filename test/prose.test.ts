// The prose of the documents: short enough to be read. Tables, code and headings are not prose; a list item is a paragraph of its own.

import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';

const mostWords = 60;

/** The paragraphs of a Markdown text. */
function paragraphs(markdown: string): string[] {
  const prose = markdown
    .replace(/^ *(`{3,}|~{3,}).*?^ *\1/gms, '\n') // code
    .replace(/<!--.*?-->/gs, '\n')
    .replace(/^ *\|.*$/gm, '\n') // tables
    .replace(/^#+ .*$/gm, '\n') // headings
    .replace(/^ *([-*+]|\d+\.) /gm, '\n\n') // list items
    .replace(/\]\([^)]*\)/g, ']'); // where links lead
  return prose
    .split(/\n\s*\n/)
    .map((text) => text.trim().replace(/\s+/g, ' '))
    .filter((text) => text !== '');
}

const words = (text: string) => text.split(' ').filter((word) => /[\p{L}\p{N}]/u.test(word)).length;

const root = new URL('../', import.meta.url);
const inFolder = (folder: string, recursive = false) =>
  readdirSync(new URL(folder, root), { recursive, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}${name}`);
const documents = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'src/README.md', 'k8s/README.md'],
  ...inFolder('docs/', true),
  ...inFolder('models/', true),
  ...inFolder('bench/'),
  ...inFolder('bench/gpu/'),
  ...inFolder('evaluation/'),
  'test/reference/README.md',
  'test/clients/generated/README.md',
];

t.test(`no paragraph has over ${mostWords} words`, async (t) => {
  for (const path of documents) {
    const long = paragraphs(readFileSync(new URL(path, root), 'utf8')).filter((text) => words(text) > mostWords);
    t.strictSame(long, [], path);
  }
});

t.test('what counts as a paragraph', async (t) => {
  const cases: [string, string, string[]][] = [
    ['lines are joined, a blank line parts', 'a\nb\n\nc', ['a b', 'c']],
    [
      'headings, tables, comments and code are none',
      '# h\na\n\n| b |\n\n<!-- c -->\n\n```sh\nd\n\ne\n```\nf',
      ['a', 'f'],
    ],
    ['code in a list is none', '- a\n\n  ```sh\n  b\n  ```\n\n  c', ['a', 'c']],
    ['an item is one', 'a:\n- b\n  c\n1. d', ['a:', 'b c', 'd']],
    ['of a link its text', '[a b](https://example.com/c)', ['[a b]']],
  ];
  for (const [name, text, expected] of cases) t.strictSame(paragraphs(text), expected, name);
  t.equal(words('**a**, `b c` - 1.5 %: d'), 5);
});
