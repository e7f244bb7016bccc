// What Git sees of models/: what ships, and nothing of its users.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('..', import.meta.url));
const git = (...args: string[]) => spawnSync('git', args, { cwd: root, encoding: 'utf8' });
const skip = git('rev-parse', '--is-inside-work-tree').status === 0 ? false : 'needs Git and a clone of the repository';

const ignored = [
  'models/dream.safetensors',
  'models/dream.img2img.json',
  'models/stabilityai--sd-turbo/unet/model.onnx',
  'models/loras/style.safetensors',
  'models/old.ckpt',
  'models/dream.webp',
];
const tracked = [
  'models/paintbox/unet/model.onnx',
  'models/paintbox-lcm/img2img.json',
  'models/paintbox-comic.webp',
  'models/training/unet.py',
  'src/models/dream.safetensors',
];

t.test('models of users are ignored, those that ship are not', { skip }, async (t) => {
  for (const path of ignored) t.equal(git('check-ignore', '--no-index', '-q', path).status, 0, path);
  for (const path of tracked) t.equal(git('check-ignore', '--no-index', '-q', path).status, 1, path);
  t.not(git('ls-files', 'models/paintbox', 'models/paintbox-lcm').stdout, '');
});
