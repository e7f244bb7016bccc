// Steps of the Dockerfile by themselves, above all the cuda image's, which needs bases that CI does not have (.ci/container builds and runs the cpu image).

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

const root = fileURLToPath(new URL('../../', import.meta.url));
const instructions = readFileSync(`${root}Dockerfile`, 'utf8')
  .replace(/^#.*\n/gm, '')
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter((line) => line !== '');
/** The shell text of the one RUN that has this word in it. */
const step = (word: string) =>
  instructions
    .find((line) => line.startsWith('RUN') && line.includes(word))!
    .replace(/^RUN( --\S+)*/, '')
    .trim();
const shell = (command: string, cwd: string, path = '') =>
  spawnSync('sh', ['-c', command], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${path}:${process.env.PATH}` },
  });

t.test('the cuda image refuses a base whose CUDA or cuDNN is another', async (t) => {
  const linked = (...missing: string[]) =>
    ['libcudart.so.13', 'libcublas.so.13', 'libcuda.so.1', 'libc.so.6']
      .map((name) => `\t${name} => ${missing.includes(name) ? 'not found' : `/lib/${name} (0x00007f)`}`)
      .join('\n');
  const cudnn9 = '\tlibcudnn.so.9 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcudnn.so.9';
  const cases: [string, string, string, boolean][] = [
    ['all there', linked(), cudnn9, true],
    ['the driver comes at run time', linked('libcuda.so.1'), cudnn9, true],
    ['another CUDA', linked('libcudart.so.13'), cudnn9, false],
    ['another CUDA, and no driver', linked('libcudart.so.13', 'libcuda.so.1'), cudnn9, false],
    ['no cuDNN', linked(), '', false],
    ['another cuDNN', linked(), cudnn9.replaceAll('.9', '.8'), false],
  ];
  for (const [name, ldd, ldconfig, passes] of cases) {
    const says = (text: string) => `#!/bin/sh\ncat <<'END'\n${text}\nEND\n`;
    const folder = t.testdir({ ldd: says(ldd), ldconfig: says(ldconfig), lib: {} });
    for (const program of ['ldd', 'ldconfig']) chmodSync(`${folder}/${program}`, 0o755);
    const command = step('ldd ').replaceAll('/tmp/ldd', `${folder}/out`).replace('/usr/local/lib/', `${folder}/lib/`);
    t.equal(shell(command, folder, folder).status === 0, passes, name);
    if (passes) t.equal(readlinkSync(`${folder}/lib/libcudnn.so`), '/usr/lib/x86_64-linux-gnu/libcudnn.so.9');
  }
});

t.test('the cuda provider is of the version of onnxruntime-node', async (t) => {
  const command = /node -e "[^"]+"/.exec(step('onnxruntime-node/script/install'))![0];
  t.equal(shell(command, root).status, 0, 'the installed one');
  const folder = t.testdir({
    node_modules: {
      'onnxruntime-node': {
        'package.json': '{ "version": "1.30.0" }',
        script: { 'install-metadata-versions.js': "module.exports = { nuget: [{ version: '1.29.0' }] };" },
      },
    },
  });
  t.match(shell(command, folder).stderr, /onnxruntime-node is 1\.30\.0, its CUDA provider 1\.29\.0/);
  t.ok(existsSync(`${root}node_modules/onnxruntime-node/script/install.js`), 'the script that the image runs by name');
});

t.test('the cuda image was rehearsed as it is', async (t) => {
  const dockerfile = readFileSync(`${root}Dockerfile`, 'utf8');
  const [marker] = /^# Everything below is for GPUs only.*\n/m.exec(dockerfile)!;
  const below = dockerfile.slice(dockerfile.indexOf(marker) + marker.length);
  const digest = createHash('sha256').update(below).digest('hex');
  t.match(readFileSync(`${root}bench/results-cuda-image.md`, 'utf8'), digest, 'npm run rehearse:cuda');
});

t.test("other platforms' binaries go", async (t) => {
  const binary = () => ({ 'onnxruntime_binding.node': '' });
  const folder = t.testdir({
    node_modules: {
      'onnxruntime-node': {
        bin: {
          'napi-v6': {
            linux: { x64: binary(), arm64: binary() },
            darwin: { arm64: binary() },
            win32: { x64: binary(), arm64: binary() },
          },
        },
      },
    },
  });
  t.equal(shell(step('napi-v6'), folder).status, 0);
  const { stdout } = shell('cd node_modules/onnxruntime-node/bin/napi-v6 && find . -type d -o -type f | sort', folder);
  const here = `./${process.platform}/${process.arch}`;
  t.strictSame(stdout.trim().split('\n'), ['.', `./${process.platform}`, here, `${here}/onnxruntime_binding.node`]);
});

t.test('both images say and start the same', async (t) => {
  const stage = (name: string) => {
    const from = instructions.findIndex((line) => line.startsWith('FROM') && line.endsWith(` AS ${name}`));
    const length = instructions.slice(from + 1).findIndex((line) => line.startsWith('FROM'));
    return instructions.slice(from, length === -1 ? undefined : from + 1 + length);
  };
  const same = /^(USER|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|WORKDIR|ENV NODE_ENV|COPY --from=app|ARG)/;
  const of = (name: string) => stage(name).filter((line) => same.test(line));
  t.strictSame(of('cuda'), of('cpu'));
  t.equal(of('cpu').length, 10);
  t.ok(stage('cuda').includes('ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility'));
});

t.test('the healthcheck asks the server', async (t) => {
  const [node, flag, script]: string[] = JSON.parse(
    /CMD (\[.*\])/.exec(instructions.find((line) => line.startsWith('HEALTHCHECK'))!)![1]!,
  );
  const ask = async (t: Test, status: number) => {
    const server = createServer((request, response) =>
      response.writeHead(request.url === '/readyz' ? status : 404).end(),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    const child = spawn(node!, [flag!, script!], {
      env: { PATH: process.env.PATH, PORT: String((server.address() as { port: number }).port) },
    });
    return new Promise((resolve) => child.once('exit', resolve));
  };
  t.equal(await ask(t, 200), 0);
  t.equal(await ask(t, 503), 1);
});

t.test("the build brings the page's files into dist", async (t) => {
  const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const [compile, copy] = scripts.build.split(' && ');
  t.equal(compile, 'tsc -p tsconfig.build.json');
  const folder = t.testdir({ src: t.fixture('symlink', `${root}src`) });
  t.equal(shell(copy, folder).status, 0);
  const list = (path: string) => readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
  const files = list(`${folder}/dist/http/page/assets`);
  t.strictSame(files, list(`${root}src/http/page/assets`));
  t.ok(files.includes('index.html') && files.includes('starters/cottage.webp'));
});

/** @param path of a file or folder, with at most one star, in its name */
function isThere(path: string): boolean {
  const [start, end] = basename(path).split('*');
  if (end === undefined) return existsSync(`${root}${path}`);
  return readdirSync(`${root}${dirname(path)}`).some((name) => name.startsWith(start!) && name.endsWith(end));
}

t.test('.dockerignore lets in what the Dockerfile copies', async (t) => {
  const allowed = readFileSync(`${root}.dockerignore`, 'utf8');
  const copied = instructions.flatMap((line) =>
    line.startsWith('COPY ') && !line.includes('--from') ? line.split(' ').slice(1, -1) : [],
  );
  t.ok(copied.length >= 8);
  for (const path of copied) {
    t.ok(isThere(path), path);
    t.ok(allowed.includes(`!${path}\n`), `${path} is not ignored`);
  }
});
