import fc from 'fast-check';
import t from 'tap';
import { type ExtraNetwork, type Piece, parsePrompt, wordsOf } from '../src/prompt-syntax.js';

/** As the web UI shows what it reads: [text, weight], or break. */
const shown = (pieces: readonly Piece[]) =>
  pieces.map((piece) => (piece === 'break' ? piece : [piece.text, Number(piece.weight.toFixed(6))]));

const up = 1.1;
const down = 0.909091;

t.test("weights are those of AUTOMATIC1111's web UI", async (t) => {
  for (const [prompt, expected] of [
    ['', []],
    ['normal text', [['normal text', 1]]],
    ['an (important) word', [['an ', 1], ['important', up], [' word', 1]]], // biome-ignore format: one line each
    ['an [unimportant] word', [['an ', 1], ['unimportant', down], [' word', 1]]], // biome-ignore format: one line each
    ['(x:1.3)', [['x', 1.3]]],
    ['(x: 1.3 )', [['x', 1.3]]],
    ['(x:+.5)', [['x', 0.5]]],
    ['(x:-0.5)', [['x', -0.5]]],
    ['(x:0)', [['x', 0]]],
    ['(x:2.)', [['x', 2]]],
    ['((x))', [['x', 1.21]]],
    ['[[x]]', [['x', 0.826446]]],
    ['([x])', [['x', 1]]],
    ['([x:1.5])', [['x:1.5', 1]]],
    ['(x:1.5]', [['x:1.5]', up]]],
    ['a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).', [
      ['a ', 1], ['house', 1.573], [' ', up], ['on', 1], [' a ', up], ['hill', 0.55], [', sun, ', up], ['sky', 1.4641], ['.', up],
    ]], // biome-ignore format: one line each
    ['(a (b:2) c:3)', [['a ', 3], ['b', 6], [' c', 3]]], // biome-ignore format: one line each
    // Brackets that have no partner.
    ['(unbalanced', [['unbalanced', up]]],
    ['[unbalanced', [['unbalanced', down]]],
    ['unbalanced)', [['unbalanced)', 1]]],
    ['unbalanced]', [['unbalanced]', 1]]],
    ['x:1.3) y', [['x:1.3) y', 1]]],
    ['(a [b) c]', [['a ', up], ['b', 1], [' c', down]]], // biome-ignore format: one line each
    ['()', []],
    ['(:1.5)', []],
    // Colons that weigh nothing.
    ['(a:b)', [['a:b', up]]],
    ['(a:1.2:3)', [['a:1.2', 3]]],
    ['(a:1.2.3)', [['a:1.2.3', up]]],
    ['(a:.)', [['a:.', up]]],
    ['(a:1,3)', [['a:1,3', up]]],
    ['(a:1e2)', [['a:1e2', up]]],
    ['(a:NaN)', [['a:NaN', up]]],
    ['a:1.3', [['a:1.3', 1]]],
    // Escapes.
    ['\\(a\\) \\[b\\]', [['(a) [b]', 1]]],
    ['(\\(a\\):1.5)', [['(a)', 1.5]]],
    ['a\\\\(b)', [['a\\', 1], ['b', up]]], // biome-ignore format: one line each
    ['a\\b', [['ab', 1]]],
    ['a\\', [['a', 1]]],
    // Neighbours of one weight are one piece, so that a word goes on behind a bracket.
    ['(a)(b)', [['ab', up]]],
    ['a(b:1)c', [['abc', 1]]],
    // Breaks.
    ['a BREAK b', [['a ', 1], 'break', [' b', 1]]], // biome-ignore format: one line each
    ['(a BREAK b:1.5)', [['a ', 1.5], 'break', [' b', 1.5]]], // biome-ignore format: one line each
    ['BREAK', ['break']],
    ['a BREAKFAST, OUTBREAK, éBREAK, break', [['a BREAKFAST, OUTBREAK, éBREAK, break', 1]]],
  ] as [string, unknown[]][]) {
    t.strictSame(shown(parsePrompt(prompt).pieces), expected, JSON.stringify(prompt));
  }
});

t.test('extra networks are no words, and are handed out in their order', async (t) => {
  for (const [prompt, words, networks] of [
    ['a <lora:paint:0.8> b', 'a  b', [{ kind: 'lora', argument: 'paint:0.8' }]],
    [
      '<lora:a/b c:x:1><lyco:d>',
      '',
      [
        { kind: 'lora', argument: 'a/b c:x:1' },
        { kind: 'lyco', argument: 'd' },
      ],
    ],
    ['(x<lora:y:(1.5)>:1.5)', 'x', [{ kind: 'lora', argument: 'y:(1.5)' }]],
    ['<lora:>', '<lora:>', []],
    ['<lora:unclosed', '<lora:unclosed', []],
    ['a < b : c > d', 'a < b : c > d', []],
  ] as [string, string, ExtraNetwork[]][]) {
    const parsed = parsePrompt(prompt);
    t.strictSame([wordsOf(prompt, 'weighted'), parsed.networks], [words, networks], prompt);
    t.equal(wordsOf(prompt, 'plain'), prompt);
  }
});

t.test('weights and depths have limits, and going beyond them is told', async (t) => {
  for (const [prompt, weights, limited] of [
    ['(a:10) (b:-10)', [10, 1, -10], false],
    ['(a:10.1) (b:-99)', [10, 1, -10], true],
    ['((a:9):9)', [10], true],
    [`${'('.repeat(25)}a`, [10], true],
    [`${'['.repeat(32)}a`, [0.047362], false],
    [`${'['.repeat(33)}a`, [0.047362], true],
    [`${'['.repeat(40)}a${']'.repeat(40)}b`, [0.047362, 1], true],
  ] as [string, number[], boolean][]) {
    const parsed = parsePrompt(prompt);
    t.strictSame(
      [shown(parsed.pieces).map(([, weight]) => weight), parsed.limited],
      [weights, limited],
      prompt.slice(0, 60),
    );
  }
});

t.test('changes between steps and prompts beside prompts are found', async (t) => {
  for (const [prompt, changes] of [
    ['[a:b:0.5]', true],
    ['[a:0.5]', true],
    ['[a|b]', true],
    ['a AND b', true],
    ['a and b, ANDES', false],
    ['[a] | b: c', false],
    ['[(a:1.5)]', false],
    ['\\[a\\]', false],
  ] as [string, boolean][]) {
    t.equal(parsePrompt(prompt).changes, changes, prompt);
  }
});

t.test('whatever the text, weights are in their range and no letter of it comes twice', async (t) => {
  const bits = ['(', ')', '[', ']', ':', '\\', '1.5', '-', '.', '<', '>', 'lora', 'BREAK', ' ', 'é', 'a', ','];
  const texts = fc.array(fc.constantFrom(...bits), { maxLength: 60 }).map((parts) => parts.join(''));
  const holds = fc.property(texts, (prompt) => {
    const { pieces } = parsePrompt(prompt);
    const weighted = pieces.filter((piece) => piece !== 'break');
    const letters = weighted.reduce((sum, { text }) => sum + text.length, 0);
    return letters <= prompt.length && weighted.every(({ weight }) => Math.abs(weight) <= 10);
  });
  t.doesNotThrow(() => fc.assert(holds, { numRuns: 2000, seed: 1 }));
});

t.test('long texts of any kind come to an end', async (t) => {
  // Were one of these read in quadratic time, it would take minutes and not milliseconds.
  const times = 50_000;
  for (const bit of [
    '(',
    '[',
    ')',
    '(a',
    '[a',
    '(a)',
    '(a:',
    ':1',
    ': ',
    ' ',
    '<a:',
    '\\',
    'BREAK ',
    '[:',
    '1.',
    ':((',
  ]) {
    t.type(parsePrompt(bit.repeat(times)).pieces.length, 'number', bit);
  }
});
