import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { removeLeftOvers, writeWhole } from '../../src/pipeline/onnx/graph-cache.js';
import { maxIrVersion, maxOpsets } from '../../src/pipeline/onnx/runtime-limits.js';
import { Session } from '../../src/pipeline/onnx/sessions.js';
import { bytesField, encodeMessage, varintField } from '../../src/pipeline/onnx/wire.js';
import { type Case, generate, reference, requestOf } from './cases.js';
import { type Variant, writeFolder } from './folders.js';

const root = t.testdir();

t.test('a patched graph is whole or not there, and what dead processes left is removed', async (t) => {
  const cacheDir = join(root, 'cache');
  const target = join(cacheDir, 'a.onnx');
  t.throws(() =>
    writeWhole(target, (path) => {
      writeFileSync(path, 'half');
      throw new Error('no space left');
    }),
  );
  t.strictSame(readdirSync(cacheDir), []);
  writeWhole(target, (path) => writeFileSync(path, 'whole'));
  const { pid } = spawnSync('true');
  for (const name of [`b.onnx.${pid}`, `c.onnx.${process.ppid}`, 'd.onnx', 'notes.txt'])
    writeFileSync(join(cacheDir, name), '');
  removeLeftOvers(cacheDir);
  t.strictSame(readdirSync(cacheDir).sort(), ['a.onnx', `c.onnx.${process.ppid}`, 'd.onnx', 'notes.txt']);
  t.doesNotThrow(() => removeLeftOvers(join(root, 'none')));
});

/** As huggingface_hub lays a download out: files by their hashes, and links to them by their names. */
function toHubCache(folder: string, repository: string): string {
  const snapshot = join(repository, 'snapshots/0123abc');
  mkdirSync(join(repository, 'blobs'), { recursive: true });
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!statSync(join(folder, name)).isFile()) continue;
    const hash = createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex');
    const [blob, link] = [join(repository, 'blobs', hash), join(snapshot, name)];
    renameSync(join(folder, name), blob);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), blob), link);
  }
  return snapshot;
}

t.test('a folder of a Hugging Face cache gives the same picture as its files would', async (t) => {
  const { cases } = JSON.parse(readFileSync(reference('families.json'), 'utf8')) as {
    cases: (Case & { family: string })[];
  };
  const request = requestOf(cases.find(({ family }) => family === 'sd')!);
  const device = { provider: 'cpu', threads: 1, cacheDir: join(root, 'graphs') } as const;
  const picture = async (folder: string) => {
    const model = await loadModel(folder, device);
    t.equal(model.sessions.unet!.shapeOf('timestep').length, 1, 'a timestep for each row');
    const [{ pixels } = {} as never] = await generate(model, [request]);
    await releaseModel(model);
    return pixels.data;
  };
  const variants: Variant[] = [
    {},
    { weights: 'external' },
    { weights: 'external', timestep: 'batch', encoder: 'latent_sample' },
  ];
  for (const [i, variant] of variants.entries()) {
    const folder = writeFolder(root, 'sd', variant, `plain-${i}`);
    const expected = await picture(folder);
    const snapshot = toHubCache(folder, join(root, `models--somebody--model-${i}`));
    t.notOk(existsSync(join(folder, 'unet/model.onnx')));
    t.strictSame(await picture(snapshot), expected, JSON.stringify(variant));
  }
});

/** x -> Identity -> y */
function identity(irVersion: number, opsets: Readonly<Record<string, number>>): Uint8Array {
  const shape = encodeMessage([bytesField(1, encodeMessage([bytesField(2, 'n')]))]);
  const type = encodeMessage([bytesField(1, encodeMessage([varintField(1, 1), bytesField(2, shape)]))]);
  const value = (name: string) => encodeMessage([bytesField(1, name), bytesField(2, type)]);
  const node = encodeMessage([bytesField(1, 'x'), bytesField(2, 'y'), bytesField(4, 'Identity')]);
  const graph = encodeMessage([
    bytesField(1, node),
    bytesField(2, 'g'),
    bytesField(11, value('x')),
    bytesField(12, value('y')),
  ]);
  const imports = Object.entries(opsets).map(([domain, version]) =>
    bytesField(8, encodeMessage([bytesField(1, domain), varintField(2, version)])),
  );
  return encodeMessage([varintField(1, irVersion), bytesField(7, graph), ...imports]);
}

t.test('what is called too new for onnxruntime is what it refuses', async (t) => {
  const loads = async (name: string, irVersion: number, opsets: Readonly<Record<string, number>>) => {
    const path = join(root, `${name}.onnx`);
    writeFileSync(path, identity(irVersion, opsets));
    const session = await Session.load('unet', path, { provider: 'cpu', threads: 1, cacheDir: root }).catch(
      () => undefined,
    );
    await session?.release();
    return session !== undefined;
  };
  t.ok(await loads('ir', maxIrVersion, { '': 17 }));
  t.notOk(await loads('next ir', maxIrVersion + 1, { '': 17 }));
  for (const [domain, max] of Object.entries(maxOpsets).filter(([name]) => name !== 'ai.onnx')) {
    t.ok(await loads(`set ${domain}`, 8, { '': 17, [domain]: max }), `${domain} ${max}`);
    t.notOk(await loads(`next set ${domain}`, 8, { '': 17, [domain]: max + 1 }), `${domain} ${max + 1}`);
  }
});
