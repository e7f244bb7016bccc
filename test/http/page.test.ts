// GET /: who gets the page and who gets JSON, and what the page's files are. test/browser drives it.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { schedulerNames } from '../../src/engine/host/engine.js';
import { formats } from '../../src/image/encode.js';
import { startApp } from '../start.js';

const assets = fileURLToPath(new URL('../../src/http/page/assets/', import.meta.url));
const files = readdirSync(assets).filter((name) => name !== 'starters');
const starters = readdirSync(`${assets}starters`);
const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8';

t.test('Accept decides between the page and JSON', async (t) => {
  const { url } = await startApp(t, { API_KEYS: 'k', CORS_ORIGINS: 'https://a.example' });
  const get = (accept: string) => fetch(`${url}/`, { headers: { accept, origin: 'https://a.example' } });
  const cases: [accept: string, status: number, type: RegExp][] = [
    [browser, 200, /^text\/html/],
    ['text/html', 200, /^text\/html/],
    ['application/json', 200, /^application\/json/],
    ['*/*', 200, /^application\/json/],
    ['application/*', 200, /^application\/json/],
    ['text/html;q=0.5, application/json', 200, /^application\/json/],
    ['text/*', 200, /^text\/html/],
    ['image/png', 406, /^application\/problem\+json/],
  ];
  for (const [accept, status, type] of cases) {
    const answer = await get(accept);
    t.equal(answer.status, status, accept);
    t.match(answer.headers.get('content-type'), type, accept);
    t.equal(answer.headers.get('vary'), 'Origin, Accept', accept);
    await answer.text();
  }
  t.strictSame(await (await get('*/*')).json(), {
    name: 'img2img',
    version: 'test',
    docs: 'docs',
    openapi: 'openapi.json',
    page: './',
  });
  t.equal((await fetch(`${url}/`, { method: 'HEAD', headers: { accept: 'text/html' } })).status, 200);

  for (const name of [...files, ...starters.map((name) => `starters/${name}`)]) {
    const answer = await fetch(`${url}/page/${name}`);
    t.equal(answer.status, name === 'index.html' ? 401 : 200, `${name} needs no key`);
    await answer.arrayBuffer();
  }
  for (const path of ['/page/', '/page/nowhere.js', '/page/../models']) {
    t.equal((await fetch(url + path)).status, 401, `${path} is no file of the page`);
  }

  const page = await get('text/html');
  const policy = page.headers.get('content-security-policy');
  t.match(policy, /default-src 'none';script-src 'self';style-src 'self';/);
  t.notMatch(policy, 'unsafe');
  const html = await page.text();
  const valuesOf = (id: string) => {
    const [, options = ''] = new RegExp(`<select id="${id}">(.*?)</select>`, 's').exec(html) ?? [];
    return [...options.matchAll(/<option(?: value="(.*?)")?>(.*?)</g)].map(([, value, text]) => value ?? text);
  };
  t.strictSame(valuesOf('scheduler'), ['', ...schedulerNames]);
  t.strictSame(
    valuesOf('format'),
    ['', ...formats.filter((name) => name !== 'png')],
    'png is what is made without one',
  );
  t.strictSame(valuesOf('fit'), ['', 'contain', 'fill', 'extend'], 'cover is what is made without one');
});

t.test('the page is small, and has all of its files', async (t) => {
  const sizes = files.map((name) => statSync(assets + name).size);
  t.ok(sizes.reduce((sum, size) => sum + size, 0) < 100_000, 'less than 100 kB without the starters');
  t.equal(starters.length, 3);
  for (const name of files) {
    const text = readFileSync(assets + name, 'utf8');
    t.notMatch(
      text,
      /(src|href)="\/|from '\/|url\(\/| style="|<script>|<style|\son\w+="/,
      `${name}: no absolute address, nothing inline`,
    );
    t.notMatch(text.replace('http://www.w3.org/2000/svg', ''), /https?:\/\//, `${name}: no other host`);
  }
  const html = readFileSync(`${assets}index.html`, 'utf8');
  for (const [, path] of html.matchAll(/(?:src|href)="page\/(.*?)"/g))
    t.ok(statSync(assets + path).isFile(), String(path));
  t.match(html, /<html lang="en">/);
  t.match(html, /<meta name="viewport"/);
  t.match(html, /<input type="file"/);
  t.match(html, /<input type="range" id="influence"/);
});
