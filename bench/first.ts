// npm run bench:first: from a clone to the first picture by README's commands, and the first press on the page of a server that
// has just become ready. Needs git, curl and Chromium. For the figures in results-first.md; run it on an idle machine.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startServer } from './server.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const limits = { clone: 60, page: 2 };
const load = loadavg()[0]!;
const seconds = (since: number) => (performance.now() - since) / 1000;

const parent = mkdtempSync(join(tmpdir(), 'img2img-first-'));
const clone = join(parent, 'img2img');

/** The moments of README's commands, in seconds from the first of them. */
async function fromClone(): Promise<Record<string, number>> {
  const start = performance.now();
  execFileSync('git', ['clone', '--quiet', root, clone], { stdio: 'inherit' });
  const cloned = seconds(start);
  execFileSync('npm', ['ci', '--silent'], { cwd: clone, stdio: ['ignore', 'ignore', 'inherit'] });
  const installed = seconds(start);
  const environment = { ...process.env, PORT: '0', LOG_FORMAT: 'text' };
  const child = spawn('npm', ['start'], {
    cwd: clone,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: environment,
  });
  try {
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    while (!/ try .*\n/.test(said)) await once(child.stdout, 'data');
    const ready = seconds(start);
    const command = / try +(.*)\n/.exec(said)![1]!;
    execFileSync('sh', ['-c', command.replace('curl', 'curl --silent --fail')], { cwd: clone });
    const made = seconds(start);
    if (statSync(join(clone, 'picture.png')).size < 1000) throw new Error('the picture is none');
    return { cloned, installed, ready, made };
  } finally {
    process.kill(-child.pid!, 'SIGTERM');
    await once(child, 'exit');
  }
}

/** Seconds from the press to the picture. */
async function firstPress(): Promise<number> {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const page = await browser.newPage();
  const server = await startServer({ DEVICES: 'cpu' });
  try {
    await page.goto(server.url);
    await page.locator('#chips button').first().waitFor();
    const start = performance.now();
    await page.click('#make');
    await page.locator('#status', { hasText: /in [\d.]+ s\.$/ }).waitFor();
    return seconds(start);
  } finally {
    await browser.close();
    await server.stop();
  }
}

try {
  const clones = await fromClone();
  const page = await firstPress();
  const line = (...cells: (string | number)[]) => console.log(`| ${cells.join(' | ')} |`);
  console.log(
    `${availableParallelism()} cores of ${cpus()[0]!.model.trim()}, Node ${process.version}, load ${load.toFixed(2)} before\n`,
  );
  line('', 'limit', 'seconds');
  line('---', '---', '---');
  line('cloned', '', clones.cloned!.toFixed(1));
  line('`npm ci` has ended', '', clones.installed!.toFixed(1));
  line('`npm start` is ready', '', clones.ready!.toFixed(1));
  line('the first picture, by the printed curl', limits.clone, clones.made!.toFixed(1));
  line("the page's first press, on a server that has just become ready", limits.page, page.toFixed(2));
  if (clones.made! > limits.clone || page > limits.page) process.exitCode = 1;
} finally {
  rmSync(parent, { recursive: true, force: true });
}
