// `pull` against a hub that breaks off, lies, refuses and redirects.

import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findModels } from '../../src/pipeline/folder/find-models.js';
import { entryOf, type Hub, refuse, repository, sendFile, startHub } from './hub.js';
import { models } from './run.js';

const weights = randomBytes(100_000);
const file = 'dream.safetensors';
const name = `some-org--a.model_1--${file}`;
const token = 'hf_a-secret-that-stays';
/** Every file below a folder. */
const below = (folder: string) =>
  (
    readdirSync(folder, { recursive: true, withFileTypes: true }) as {
      name: string;
      parentPath: string;
      isFile(): boolean;
    }[]
  )
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

async function start(t: Test, files: Parameters<typeof startHub>[1] = { [file]: weights }) {
  const hub = await startHub(t, files);
  const modelsDir = t.testdir();
  const given = { modelsDir, endpoint: hub.url };
  return { hub, modelsDir, given, pull: (...rest: string[]) => models(['pull', repository, ...rest], given) };
}
/** Bytes of what was begun. */
const begun = (modelsDir: string) => {
  const part = below(modelsDir).find((path) => path.endsWith('.part'));
  return part === undefined ? -1 : statSync(part).size;
};
const isWhole = (modelsDir: string) => readFileSync(join(modelsDir, name)).equals(weights);

t.test('a file becomes a model with a manifest, and is known the next time', async (t) => {
  const { hub, modelsDir, pull } = await start(t);
  const { status, told, printed } = await pull(file);
  t.equal(status, 0, told);
  t.match(told, /licence: creativeml-openrail-m/);
  t.match(told, /dream\.safetensors: 100 kB of 100 kB/);
  t.match(printed, /1 files, 100 kB/);
  t.ok(isWhole(modelsDir));
  t.strictSame(readdirSync(modelsDir).sort(), [`.${name}.pull.json`, name]);
  t.strictSame(JSON.parse(readFileSync(join(modelsDir, `.${name}.pull.json`), 'utf8')), {
    ...{ repository, commit: hub.commit, revision: 'main', license: 'creativeml-openrail-m' },
    files: [{ path: name, bytes: weights.length, sha256: createHash('sha256').update(weights).digest('hex') }],
  });
  t.equal((await models(['verify', join(modelsDir, name)], { modelsDir })).status, 0);
  const before = hub.asked.length;
  t.match((await pull(file)).printed, /is that already/);
  t.notOk(hub.asked.slice(before).some(({ path }) => path.includes('/resolve/')));
});

t.test('what breaks off at any tenth of a file goes on there', async (t) => {
  for (let tenth = 0; tenth < 10; tenth++) {
    const { hub, modelsDir, pull } = await start(t);
    const until = (tenth * weights.length) / 10;
    let broke = false;
    hub.onFiles = (request, response, body) => {
      if (broke) return false;
      broke = true;
      sendFile(request, response, body, until, () => begun(modelsDir) === until);
      return true;
    };
    const { status, told, slept } = await pull(file);
    t.equal(status, 0, told);
    t.ok(isWhole(modelsDir), `${10 * tenth} %`);
    t.equal(slept.length, 1);
    const [, second] = hub.asked.filter(({ host }) => host === 'files');
    t.equal(second?.range, tenth === 0 ? undefined : `bytes=${until}-`);
  }
});

t.test('a pull that was stopped at any tenth leaves no model, and the next one goes on there', async (t) => {
  const { hub, modelsDir, given } = await start(t);
  for (let tenth = 1; tenth < 10; tenth++) {
    const stop = new AbortController();
    hub.onFiles = (request, response, body) => {
      const until = (tenth * weights.length) / 10;
      sendFile(request, response, body, until, () => begun(modelsDir) === until);
      return true;
    };
    const sleep = async () => stop.abort(new Error('stopped by a test'));
    const network = { stallMs: 500, patienceMs: 1000, sleep };
    const { status, told } = await models(['pull', repository, file], { ...given, network, signal: stop.signal });
    t.equal(status, 1);
    t.match(told, 'stopped by a test');
    t.strictSame(findModels(modelsDir).paths.size, 0, 'nothing that a server would see');
    t.equal(hub.asked.at(-1)?.range, tenth === 1 ? undefined : `bytes=${((tenth - 1) * weights.length) / 10}-`);
  }
  hub.onFiles = () => false;
  t.equal((await models(['pull', repository, file], given)).status, 0);
  t.equal(hub.asked.at(-1)?.range, `bytes=${(9 * weights.length) / 10}-`);
  t.ok(isWhole(modelsDir));
});

const faults: Record<
  string,
  { fault: (hub: Hub, modelsDir: string) => void; says: RegExp; token?: string; args?: string[]; slept?: number[] }
> = {
  'a wrong checksum': {
    fault: (hub) => {
      hub.onFiles = (request, response) => {
        sendFile(request, response, randomBytes(weights.length));
        return true;
      };
    },
    says: /dream\.safetensors came with another digest .* it is not kept/,
  },
  'a wrong checksum of a small file': {
    args: [],
    fault: (hub) => {
      hub.files.set('model_index.json', Buffer.from('{"_class_name": "StableDiffusionPipeline"}'));
      hub.onFiles = (request, response, body) => {
        sendFile(request, response, Buffer.from(body.toString().replace('Stable', 'Stabel')));
        return true;
      };
    },
    says: /model_index\.json came with another digest/,
  },
  'breaks and lies': {
    fault: (hub, modelsDir) => {
      hub.onFiles = (request, response, body) => {
        const start = Number(/\d+/.exec(request.headers.range ?? '0')![0]);
        const until = start + 40_000 < body.length ? start + 40_000 : undefined;
        sendFile(request, response, randomBytes(body.length), until, () => begun(modelsDir) === until);
        return true;
      };
    },
    says: /came with another digest .* it is not kept/,
  },
  'more bytes than were listed': {
    fault: (hub) => {
      hub.onFiles = (request, response) => {
        sendFile(request, response, randomBytes(weights.length + 1));
        return true;
      };
    },
    says: /sends more of dream\.safetensors than the 100000 bytes/,
  },
  'never all of the bytes': {
    fault: (hub) => {
      hub.onFiles = (request, response) => {
        const range = request.headers.range ? { 'content-range': `bytes 5-9/${weights.length}` } : {};
        response.writeHead(request.headers.range ? 206 : 200, range).end('small');
        return true;
      };
    },
    says: /given up after 6 tries/,
  },
  '401 without a token': {
    fault: (hub) => {
      hub.onHub = (_, response) => refuse(response, 401, 'RepoNotFound');
    },
    says: /^models: some-org\/a\.model_1 is gated, private or not there \(401\): open http:.*\/some-org\/a\.model_1 in a browser and accept its terms, make a token at http:.*\/settings\/tokens, and set HF_TOKEN to it$/,
  },
  '401 of a gated file without a token': {
    fault: (hub) => {
      hub.info.gated = 'auto';
      hub.onHub = (request, response) => request.url!.includes('/resolve/') && refuse(response, 401, 'GatedRepo');
    },
    says: /it is gated: its terms(.|\n)*models: some-org\/a\.model_1 is gated \(401\): open/,
  },
  '401 with a token': {
    token,
    fault: (hub) => {
      hub.onHub = (_, response) => refuse(response, 401);
    },
    says: /^models: the hub refuses HF_TOKEN for some-org\/a\.model_1 \(401\)/,
  },
  '403 with a token': {
    token,
    fault: (hub) => {
      hub.onHub = (request, response) => request.url!.includes('/resolve/') && refuse(response, 403, 'GatedRepo');
    },
    says: /models: the account of HF_TOKEN may not read some-org\/a\.model_1 \(403\): open http:.* in a browser and accept its terms, with that account$/,
  },
  '404 of a repository': {
    fault: (hub) => {
      hub.onHub = (_, response) => refuse(response, 404, 'RepoNotFound');
    },
    says: /^models: there is no some-org\/a\.model_1 at http:\S+ \(404\), or no revision main of it$/,
  },
  '404 of a revision': {
    fault: (hub) => {
      hub.onHub = (_, response) => refuse(response, 404, 'RevisionNotFound');
    },
    says: /^models: some-org\/a\.model_1 has no revision main \(404\)$/,
  },
  '404 of a file': {
    args: ['other.safetensors'],
    fault: () => undefined,
    says: /models: some-org\/a\.model_1 has no file other\.safetensors; name one of its files: dream\.safetensors$/,
  },
  '404 of a file that is listed': {
    fault: (hub) => {
      hub.onHub = (request, response) => request.url!.includes('/resolve/') && refuse(response, 404, 'EntryNotFound');
    },
    says: /models: some-org\/a\.model_1 has no file dream\.safetensors \(404\)$/,
  },
  '429 without an end': {
    fault: (hub) => {
      hub.onHub = (_, response) => refuse(response, 429, undefined, { 'retry-after': '70' });
    },
    says: /answered 429, too many requests, and asks to wait 70 s; that is longer than is waited for here/,
    slept: [70_000, 70_000, 70_000, 70_000],
  },
  '429 for an hour': {
    fault: (hub) => {
      hub.onFiles = (_, response) => refuse(response, 429, undefined, { 'retry-after': '3600' });
    },
    says: /asks to wait 3600 s; that is longer than is waited for here/,
    slept: [],
  },
  '500 without an end': {
    fault: (hub) => {
      hub.onHub = (_, response) => refuse(response, 503);
    },
    says: /answered 503 for some-org\/a\.model_1; given up after 6 tries/,
    slept: [1000, 2000, 4000, 8000, 16_000],
  },
  'a connection that stalls': {
    fault: (hub) => {
      hub.onFiles = (_, response) => {
        response.writeHead(200);
        return true;
      };
    },
    says: /nothing came for 0\.5 s; given up after 6 tries/,
  },
  'a redirect to a file': {
    fault: (hub) => {
      hub.onHub = (request, response) =>
        request.url!.includes('/resolve/') && refuse(response, 302, undefined, { location: 'file:///etc/passwd' });
    },
    says: /redirects to an address that is not followed/,
  },
  'redirects in a circle': {
    fault: (hub) => {
      hub.onHub = (request, response) => refuse(response, 307, undefined, { location: request.url });
    },
    says: /redirects more than 8 times/,
  },
  'no JSON': {
    fault: (hub) => {
      hub.onHub = (_, response) => {
        response.end('<html>');
        return true;
      };
    },
    says: /the hub's answer is not understood/,
  },
  'no commit': {
    fault: (hub) => {
      hub.commit = '../../etc';
    },
    says: /does not say which commit main/,
  },
  'a file without a digest': {
    fault: (hub) => {
      hub.listed = (entries) => entries.map((entry) => ({ ...entry, lfs: { ...entry.lfs, oid: '../evil' } }));
    },
    says: /does not say the size and digest of dream\.safetensors/,
  },
};
for (const path of [
  '../evil',
  'a/../../evil',
  '/etc/evil',
  '..\\evil',
  'C:/evil',
  'a//evil',
  './evil',
  'a\u0000',
  '',
  7,
]) {
  faults[`the name ${JSON.stringify(path)}`] = {
    fault: (hub) => {
      hub.listed = (entries) => [...entries, { ...entries[0]!, path }];
    },
    says: /the hub names a file .* which is no name of a file below a folder; nothing is downloaded/,
  };
}

t.test('whatever a hub does, what is no model stays none, and a sentence says why', async (t) => {
  for (const [what, { fault, says, args = [file], slept, ...rest }] of Object.entries(faults)) {
    const { hub, modelsDir, given } = await start(t);
    fault(hub, modelsDir);
    const outcome = await models(['pull', repository, ...args], { ...given, ...rest });
    t.equal(outcome.status, 1, what);
    t.match(outcome.told, says, what);
    t.equal(findModels(modelsDir).paths.size, 0, what);
    t.notMatch(outcome.told, /secret/, 'neither the token nor a signature is told');
    if (slept) t.strictSame(outcome.slept, slept, what);
  }
});

t.test('what another try mends is tried again', async (t) => {
  const cases: Record<string, (hub: Hub, modelsDir: string) => void> = {
    '429 with seconds': (hub) => {
      let left = 2;
      hub.onHub = (_, response) => left-- > 0 && refuse(response, 429, undefined, { 'retry-after': '7' });
    },
    '429 with a date': (hub) => {
      let left = 2;
      const date = new Date(Date.now() + 60_000).toUTCString();
      hub.onFiles = (_, response) => left-- > 0 && refuse(response, 429, undefined, { 'retry-after': date });
    },
    'a signature that has run out': (hub) => {
      let left = 1;
      hub.onFiles = (_, response) => left-- > 0 && refuse(response, 403);
    },
    'a host that knows no ranges': (hub, modelsDir) => {
      let first = true;
      hub.onFiles = (request, response, body) => {
        sendFile({ headers: {} }, response, body, first ? 50_000 : undefined, () => begun(modelsDir) === 50_000);
        first = false;
        return request.url !== '';
      };
    },
    'a host that has another end': (hub, modelsDir) => {
      let count = 0;
      hub.onFiles = (request, response, body) => {
        count++;
        if (count === 1) sendFile(request, response, body, 50_000, () => begun(modelsDir) === 50_000);
        else if (count === 2) refuse(response, 416);
        else return false;
        return true;
      };
    },
    'a first half of other bytes': (hub, modelsDir) => {
      let first = true;
      hub.onFiles = (request, response, body) => {
        if (!first) return false;
        first = false;
        sendFile(request, response, randomBytes(body.length), 50_000, () => begun(modelsDir) === 50_000);
        return true;
      };
    },
  };
  for (const [what, fault] of Object.entries(cases)) {
    const { hub, modelsDir, pull } = await start(t);
    fault(hub, modelsDir);
    const { status, told, slept } = await pull(file);
    t.equal(status, 0, `${what}: ${told}`);
    t.ok(isWhole(modelsDir), what);
    if (what === '429 with seconds') t.strictSame(slept, [7000, 7000]);
  }
});

t.test('a new commit between two tries brings the new file, whole', async (t) => {
  const { hub, modelsDir, given, pull } = await start(t, { [file]: randomBytes(80_000) });
  hub.onFiles = (request, response, body) => {
    sendFile(request, response, body, 40_000, () => begun(modelsDir) === 40_000);
    return true;
  };
  const stop = new AbortController();
  const network = { stallMs: 500, patienceMs: 1000, sleep: async () => stop.abort(new Error('stopped')) };
  t.equal((await models(['pull', repository, file], { ...given, network, signal: stop.signal })).status, 1);
  hub.files.set(file, weights);
  Object.assign(hub, { commit: 'd'.repeat(40), onFiles: () => false });
  t.equal((await pull(file)).status, 0);
  t.ok(isWhole(modelsDir));
  t.equal(hub.asked.at(-1)?.range, undefined);
  t.notOk(readdirSync(modelsDir).includes(`.${name}.pull`), 'nothing is left of the other');
});

t.test('the token goes to the hub and nowhere else', async (t) => {
  const { hub, modelsDir, given } = await start(t);
  const elsewhere = await startHub(t, {});
  // A list that goes on at another host.
  hub.onHub = (request, response) => {
    if (!request.url!.includes('/tree/')) return false;
    response.setHeader('link', `<${elsewhere.url}/more>; rel="next"`);
    return false;
  };
  elsewhere.onHub = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('[]');
    return true;
  };
  const { status, told, printed } = await models(['pull', repository, file], { ...given, token });
  t.equal(status, 0, told);
  const [own, others] = [
    hub.asked.filter(({ host }) => host === 'hub'),
    hub.asked.filter(({ host }) => host === 'files'),
  ];
  t.ok(own.length >= 3 && own.every(({ authorization }) => authorization === `Bearer ${token}`));
  t.ok(others.length > 0 && others.every(({ authorization }) => authorization === undefined));
  t.strictSame(
    elsewhere.asked.map(({ authorization }) => authorization),
    [undefined],
  );
  for (const path of below(modelsDir)) t.notOk(readFileSync(path).includes(token), path);
  t.notMatch(told + printed, token);
});

t.test('what does not fit on the disk is not begun', async (t) => {
  const { hub, given } = await start(t);
  const freeBytes = () => 64 * 2 ** 20 + weights.length - 1;
  const { status, told } = await models(['pull', repository, file], { ...given, freeBytes });
  t.equal(status, 1);
  t.match(told, /100 kB are to be written, and the disk has 67\.2 MB free/);
  t.equal(hub.asked.filter(({ host }) => host === 'files').length, 0);
  t.equal((await models(['pull', repository, file], { ...given, freeBytes: () => freeBytes() + 1 })).status, 0);
});

const folder = {
  'model_index.json': JSON.stringify({ _class_name: 'StableDiffusionPipeline' }),
  'README.md': 'a card',
  'scheduler/scheduler_config.json': '{}',
  'tokenizer/vocab.json': '{}',
  'tokenizer/merges.txt': 'a b',
  'unet/config.json': '{"a": 1}',
  'unet/diffusion_pytorch_model.safetensors': 'unet',
  'unet/diffusion_pytorch_model.bin': 'pickle',
  'unet/diffusion_pytorch_model.fp16.safetensors': 'unet fp16',
  'unet/model.onnx': 'graph',
  'unet/model.onnx_data': 'weights',
  'vae/config.json': '{}',
  'vae/diffusion_pytorch_model.fp16.safetensors': 'vae fp16',
  'text_encoder/config.json': '{}',
  'text_encoder/model.safetensors.index.json': JSON.stringify({
    weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors' },
  }),
  'text_encoder/model-1.safetensors': 'same',
  'text_encoder/model-2.safetensors': 'same',
  'text_encoder/model-3.safetensors': 'of nobody',
  'safety_checker/model.safetensors': 'not needed',
  'all-in-one.ckpt': 'pickle',
  'all-in-one.safetensors': 'not asked for',
};
const configs = ['model_index.json', 'scheduler/scheduler_config.json', 'tokenizer/vocab.json', 'tokenizer/merges.txt'];
const text = ['config.json', 'model.safetensors.index.json', 'model-1.safetensors', 'model-2.safetensors'].map(
  (each) => `text_encoder/${each}`,
);
const without = (...paths: string[]) =>
  Object.fromEntries(Object.entries(folder).filter(([path]) => !paths.includes(path)));

t.test('of a folder what the loader reads is taken, in one precision', async (t) => {
  const vae = ['vae/config.json', 'vae/diffusion_pytorch_model.fp16.safetensors'];
  const cases: [string, Record<string, string>, string[], string[]][] = [
    [
      'full precision where it is',
      folder,
      [],
      ['unet/config.json', 'unet/diffusion_pytorch_model.safetensors', ...vae],
    ],
    [
      'the variant where it is',
      folder,
      ['--variant', 'fp16'],
      ['unet/config.json', 'unet/diffusion_pytorch_model.fp16.safetensors', ...vae],
    ],
    [
      'the safety checker where it is asked for',
      {
        ...folder,
        'safety_checker/config.json': '{}',
        'safety_checker/pytorch_model.bin': 'pickle',
        'feature_extractor/preprocessor_config.json': '{}',
      },
      ['--safety-checker'],
      [
        'feature_extractor/preprocessor_config.json',
        'safety_checker/config.json',
        'safety_checker/model.safetensors',
        'unet/config.json',
        'unet/diffusion_pytorch_model.safetensors',
        ...vae,
      ],
    ],
    [
      'ONNX where there are no safetensors',
      {
        ...without(
          'unet/diffusion_pytorch_model.safetensors',
          'unet/diffusion_pytorch_model.fp16.safetensors',
          vae[1]!,
        ),
        'vae_encoder/model.onnx': 'a',
        'vae_decoder/model.onnx': 'b',
        'vae_decoder/config.json': '{}',
        'vae_decoder/openvino_model.xml': 'c',
      },
      [],
      [
        'unet/config.json',
        'unet/model.onnx',
        'unet/model.onnx_data',
        'vae_decoder/config.json',
        'vae_decoder/model.onnx',
        'vae_encoder/model.onnx',
      ],
    ],
  ];
  for (const [what, files, options, expected] of cases) {
    const { modelsDir, pull } = await start(t, files);
    const { status, told } = await pull(...options);
    t.equal(status, 0, told);
    const root = join(modelsDir, 'some-org--a.model_1');
    const pulled = below(root).map((path) => path.slice(root.length + 1));
    t.strictSame(pulled.sort(), ['.pull.json', ...configs, ...text, ...expected].sort(), what);
    for (const path of pulled.filter((each) => each !== '.pull.json')) {
      t.equal(readFileSync(join(root, path), 'utf8'), files[path], path);
    }
    t.equal((await models(['verify', 'some-org--a.model_1'], { modelsDir })).status, 0);
    t.strictSame(readdirSync(modelsDir), ['some-org--a.model_1']);
  }
});

t.test('what is no folder that runs is refused before its weights are fetched', async (t) => {
  const cases: [string, Record<string, string>, string[], RegExp][] = [
    [
      'another architecture',
      { ...folder, 'model_index.json': '{"_class_name": "KandinskyPipeline"}' },
      [],
      /cannot run here: the pipeline class KandinskyPipeline is not supported/,
    ],
    [
      'no index',
      without('model_index.json'),
      [],
      /it has no model_index\.json; name one of its files: all-in-one\.safetensors/,
    ],
    ['nothing at all', { 'README.md': '' }, [], /no model_index\.json, and no \.safetensors file either/],
    ['no JSON', { ...folder, 'model_index.json': '[]' }, [], /model_index\.json is not a JSON object/],
    [
      'pickles only',
      without(
        'unet/diffusion_pytorch_model.safetensors',
        'unet/diffusion_pytorch_model.fp16.safetensors',
        'unet/model.onnx',
      ),
      [],
      /unet\/diffusion_pytorch_model\.bin is a pickle/,
    ],
    ['no weights', without('vae/diffusion_pytorch_model.fp16.safetensors'), [], /has no weights for its vae/],
    [
      'a shard that is not there',
      without('text_encoder/model-2.safetensors'),
      [],
      /names text_encoder\/model-2\.safetensors, which the repository does not have/,
    ],
    [
      'a shard elsewhere',
      { ...folder, 'text_encoder/model.safetensors.index.json': '{"weight_map": {"a": "../unet/x.safetensors"}}' },
      [],
      /its index names the file/,
    ],
    [
      'a safety checker that is not there',
      without('safety_checker/model.safetensors'),
      ['--safety-checker'],
      /has no weights for its safety_checker: neither safetensors nor model\.onnx/,
    ],
    ['another variant', folder, ['--variant', 'int8'], /no weights of the variant int8; it has fp16/],
    ['a pickle by name', folder, ['all-in-one.ckpt'], /all-in-one\.ckpt is a pickle/],
    ['no model by name', folder, ['README.md'], /README\.md is no \.safetensors file/],
    ['a name that leads out', folder, ['../x.safetensors'], /no name of a file below a folder/],
  ];
  for (const [what, files, args, says] of cases) {
    const { hub, modelsDir, pull } = await start(t, files);
    const { status, told } = await pull(...args);
    t.equal(status, 1, what);
    t.match(told, says, what);
    t.notOk(
      hub.asked.some(({ host, path }) => host === 'files' && /\.safetensors\?/.test(path)),
      what,
    );
    t.equal(findModels(modelsDir).paths.size, 0, what);
  }
});

t.test('a model is replaced by its next commit, and what was added to it stays', async (t) => {
  const { hub, modelsDir, pull } = await start(t, folder);
  await pull();
  const root = join(modelsDir, 'some-org--a.model_1');
  writeFileSync(join(root, 'img2img.json'), '{"title": "Mine"}');
  hub.files.set('unet/diffusion_pytorch_model.safetensors', Buffer.from('better'));
  hub.commit = 'e'.repeat(40);
  const { status, told } = await pull();
  t.equal(status, 0, told);
  t.equal(readFileSync(join(root, 'unet/diffusion_pytorch_model.safetensors'), 'utf8'), 'better');
  t.equal(readFileSync(join(root, 'img2img.json'), 'utf8'), '{"title": "Mine"}');
  t.strictSame(readdirSync(modelsDir), ['some-org--a.model_1']);
});

t.test('what no pull wrote is not replaced', async (t) => {
  const { modelsDir, pull } = await start(t);
  writeFileSync(join(modelsDir, name), 'mine');
  t.match((await pull(file)).told, /is there, and no pull wrote it; it is not replaced/);
  t.equal(readFileSync(join(modelsDir, name), 'utf8'), 'mine');
  const outside = join(modelsDir, 'outside');
  mkdirSync(outside);
  symlinkSync(outside, join(modelsDir, 'some-org--a.model_1'));
  t.match((await pull()).told, /is there, and no pull wrote it/);
  symlinkSync(outside, join(modelsDir, '.some-org--a.model_1--other.safetensors.pull'));
  t.match((await pull('other.safetensors')).told, /is a link; it is not followed/);
  t.strictSame(readdirSync(outside), []);
});

t.test('verify tells what is missing, changed or extra', async (t) => {
  const { modelsDir, pull } = await start(t, folder);
  await pull();
  const root = join(modelsDir, 'some-org--a.model_1');
  writeFileSync(join(root, 'unet/config.json'), '{"a": 2}');
  writeFileSync(join(root, 'unet/more.json'), '');
  unlinkSync(join(root, 'vae/config.json'));
  unlinkSync(join(root, 'tokenizer/vocab.json'));
  symlinkSync('/etc/hostname', join(root, 'tokenizer/vocab.json'));
  const { status, printed, told } = await models(['verify', root], { modelsDir });
  t.equal(status, 1);
  t.equal(
    printed,
    'missing: vae/config.json\nchanged: tokenizer/vocab.json\nchanged: unet/config.json\nextra: unet/more.json',
  );
  t.match(told, /^models: .* is not as some-org\/a\.model_1 has it at commit c0ffee/);
  t.match((await models(['verify', modelsDir], { modelsDir })).told, /has no manifest/);
  writeFileSync(join(root, '.pull.json'), '{"files": []}');
  t.match((await models(['verify', root], { modelsDir })).told, /is no manifest of a pull/);
});

t.test('what is not understood is refused with status 2', async (t) => {
  const modelsDir = t.testdir();
  const cases: [string[], RegExp, number?][] = [
    [['pul'], /^models: there is no command "pul" \(known: list, /],
    [['constructor'], /there is no command "constructor"/],
    [['pull'], /^models: pull takes REPO\[@REVISION\] \[FILE\], and got 0 of it; see pull --help$/],
    [['pull', 'a/b', 'c', 'd'], /and got 3 of it/],
    [['list', '--jsn'], /^models: Unknown option '--jsn'; see list --help$/],
    [['list', '--device', 'tpu'], /^models: --device is "tpu"; it must be cpu or cuda$/],
    [['pull', 'a/b', '--variant', '../x'], /--variant is "..\/x"/],
    [['pull', 'a'], /REPO is "a"; it must be org\/name/, 1],
    [['pull', '../b'], /REPO is/, 1],
    [['pull', 'a--b/c'], /REPO is/, 1],
    [['pull', 'a/b@../c'], /the revision is "..\/c"/, 1],
    [['pull', 'a/b@'], /the revision is ""/, 1],
    [['verify', 'nowhere'], /PATH is "nowhere", which is neither a path nor the name of a model/, 1],
  ];
  for (const [args, says, expected = 2] of cases) {
    const { status, told } = await models(args, { modelsDir });
    t.equal(status, expected, args.join(' '));
    t.match(told, says);
  }
  t.match(
    (await models(['pull', 'a/b'], { modelsDir, endpoint: 'ftp://x' })).told,
    /HF_ENDPOINT is no address of a hub/,
  );
  t.match((await models(['pull', 'a/b'], { modelsDir, endpoint: 'http://u:p@x' })).told, /without a password/);
  t.match(
    (await models(['pull', 'a/b'], { modelsDir: join(modelsDir, 'no') })).told,
    /does not exist, or is no folder/,
  );
});

t.test('every command helps', async (t) => {
  const modelsDir = t.testdir();
  const { printed, status } = await models(['--help'], { modelsDir });
  t.equal(status, 0);
  for (const [, command] of printed.matchAll(/^ {2}models (\w+)/gm)) {
    const outcome = await models([command!, '--help'], { modelsDir });
    t.equal(outcome.status, 0);
    t.match(outcome.printed, `models ${command}`);
  }
  t.equal(existsSync(join(modelsDir, '.pull')), false);
});

t.equal(
  entryOf('a.json', Buffer.from('what is up, doc?')).oid,
  'bd9dbf5aae1a3862dd1526723246b20206e5fc37',
  "Git's own example",
);
