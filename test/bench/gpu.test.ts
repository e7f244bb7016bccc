import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { keepArchitecture } from '../../bench/gpu/pack/fatbin.js';
import { missingOf, readAnswer } from '../../bench/gpu/pack/machine.js';
import { cudaLibraries } from '../../bench/gpu/pack/registries.js';
import { planOf, questions, type Task } from '../../bench/gpu/plan.js';

interface Code {
  readonly architecture: number;
  readonly ptx?: boolean;
}
const codeBytes = 24;

/** An entry of 64 bytes of header and its code, whose bytes are all its architecture. */
function entry({ architecture, ptx = false }: Code): Buffer {
  const bytes = Buffer.alloc(64 + codeBytes, architecture);
  bytes.fill(0, 0, 64);
  bytes.writeUInt16LE(ptx ? 1 : 2, 0);
  bytes.writeUInt32LE(64, 4);
  bytes.writeBigUInt64LE(BigInt(codeBytes), 8);
  bytes.writeUInt32LE(architecture, 28);
  return bytes;
}

function container(codes: readonly Code[]): Buffer {
  const entries = Buffer.concat(codes.map(entry));
  const header = Buffer.alloc(16);
  header.writeUInt32LE(0xba55ed50, 0);
  header.writeUInt16LE(1, 4);
  header.writeUInt16LE(16, 6);
  header.writeBigUInt64LE(BigInt(entries.length), 8);
  return Buffer.concat([header, entries]);
}

/** A library that is nothing but its `.nv_fatbin`. */
function library(containers: readonly (readonly Code[])[]): Buffer {
  const code = Buffer.concat(containers.flatMap((codes) => [container(codes), Buffer.alloc(8)]));
  const names = Buffer.from('\0.nv_fatbin\0.shstrtab\0\0\0', 'latin1');
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeBigUInt64LE(BigInt(64 + code.length + names.length), 0x28);
  for (const [at, value] of [
    [0x3a, 64],
    [0x3c, 3],
    [0x3e, 2],
  ] as const)
    header.writeUInt16LE(value, at);
  const section = (name: number, start: number, length: number) => {
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32LE(name, 0);
    bytes.writeBigUInt64LE(BigInt(start), 0x18);
    bytes.writeBigUInt64LE(BigInt(length), 0x20);
    return bytes;
  };
  const sections = [Buffer.alloc(64), section(1, 64, code.length), section(12, 64 + code.length, names.length)];
  return Buffer.concat([header, code, names, ...sections]);
}

const hasCode = (bytes: Buffer, architecture: number) => bytes.includes(Buffer.alloc(codeBytes, architecture));

t.test('a packed library keeps the code that the GPU can run, and its length', async (t) => {
  const all = [75, 80, 86, 89, 90, 120].map((architecture) => ({ architecture }));
  for (const { name, containers, architecture, kept } of [
    { name: 'machine code of its own number', containers: [all, all], architecture: 90, kept: [90] },
    { name: 'machine code of its own generation', containers: [all], architecture: 89, kept: [80, 86, 89] },
    {
      name: 'PTX of older ones',
      containers: [[{ architecture: 70, ptx: true }], all],
      architecture: 120,
      kept: [70, 120],
    },
    {
      name: 'no PTX of newer ones',
      containers: [all, [{ architecture: 100, ptx: true }]],
      architecture: 90,
      kept: [90],
    },
  ]) {
    const bytes = library(containers);
    const before = Buffer.from(bytes);
    const stripped = keepArchitecture(bytes, architecture);
    t.equal(bytes.length, before.length, name);
    const codes = new Set(containers.flat().map((code) => code.architecture));
    t.same(
      [...codes].filter((code) => hasCode(bytes, code)),
      kept,
      name,
    );
    t.equal(stripped.kept + stripped.emptied, containers.flat().length * codeBytes, name);
  }
});

t.test('a library that cannot run there is refused, and left as it is', async (t) => {
  const bytes = library([[{ architecture: 75 }, { architecture: 120, ptx: true }]]);
  const before = Buffer.from(bytes);
  t.throws(() => keepArchitecture(bytes, 90), {
    message: 'the library has code for 75, 120, and none that runs on 90',
  });
  t.same(bytes, before);
  t.throws(() => keepArchitecture(Buffer.alloc(64), 90), { message: 'the library is no ELF file of 64 bits' });
});

t.test('what a machine has is not brought', async (t) => {
  const full = cudaLibraries.map((library) => `${library}=/usr/lib/${library}`).join('\n');
  for (const { name, text, architecture, missing } of [
    { name: 'nothing asked', text: undefined, architecture: undefined, missing: { provider: true, libraries: [] } },
    {
      name: 'nothing there',
      text: `gpu=\n${cudaLibraries.map((library) => `${library}=`).join('\n')}`,
      architecture: undefined,
      missing: { provider: true, libraries: cudaLibraries },
    },
    {
      name: 'torch and its libraries',
      text: `gpu=NVIDIA H200, 9.0, 580.65.06, 143771 MiB\n${full}`,
      architecture: 90,
      missing: { provider: true, libraries: [] },
    },
    {
      name: 'the provider too',
      text: `gpu=NVIDIA L4, 8.9, 580.65.06, 23034 MiB\nprovider=1.30.0 /opt/libonnxruntime_providers_cuda.so\n${full}`,
      architecture: 89,
      missing: { provider: false, libraries: [] },
    },
    {
      name: 'a provider of another version',
      text: `provider=1.22.0 /opt/libonnxruntime_providers_cuda.so\n${full}`,
      architecture: undefined,
      missing: { provider: true, libraries: [] },
    },
  ]) {
    const machine = text === undefined ? undefined : readAnswer(text);
    t.equal(machine?.architecture, architecture, name);
    t.same(missingOf(machine, '1.30.0'), missing, name);
  }
});

t.test('every question has a part that asks it', async (t) => {
  for (const shape of ['sd15', 'tiny'] as const) {
    const asked = new Set(planOf(shape).flatMap(({ asks }) => asks));
    t.same(
      Object.keys(questions).filter((one) => !asked.has(one as keyof typeof questions)),
      ['exported_graph'],
      shape,
    );
  }
});

t.test('a random tiny model is written, loaded and asked', async (t) => {
  const folder = t.testdir();
  const end = Date.now() + 120_000;
  const task: Task = {
    ...{ shape: 'tiny', provider: 'cpu', since: Date.now(), until: end },
    ...{ models: `${folder}/models`, cache: `${folder}/cache`, out: `${folder}/out` },
  };
  for (const script of ['write-model', 'direct']) {
    const path = fileURLToPath(new URL(`../../bench/gpu/${script}.ts`, import.meta.url));
    const env = { ...process.env, ORT_DISABLE_TELEMETRY: '1' };
    const child = fork(path, [JSON.stringify(task)], { execArgv: ['--import', 'tsx'], silent: true, env });
    t.equal(await new Promise((resolve) => child.once('exit', resolve)), 0, script);
  }
  const lines = readFileSync(`${folder}/out/answers.jsonl`, 'utf8').trim().split('\n');
  const answers = lines.map((line) => JSON.parse(line));
  t.same(
    answers.filter(({ failed }) => failed !== undefined),
    [],
  );
  t.same(
    answers.map(({ question, side, rows }) => [question, side, rows].filter((each) => each !== undefined).join(' ')),
    [
      'loads',
      ...['picture_parts 128', 'step_time 128 1', 'step_time 128 2', 'step_time 128 4', 'drift 128'],
      ...['picture_parts 256', 'step_time 256 1', 'step_time 256 2', 'step_time 256 4'],
    ],
  );
  const drift = answers.find(({ question }) => question === 'drift');
  t.same(drift.togetherAndAlone, Array(4).fill({ most: 0, mean: 0 }), 'on a CPU a picture is the same in company');
  t.ok(drift.valuesInAPicture > 16, 'and it is a picture');
});
