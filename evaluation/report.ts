// The figures as a page.

import { accuracy, labels } from './classifier.js';
import { looks as measures } from './looks.js';
import type { Evaluation, Recognised, Shift } from './sections.js';

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

function shifts(name: string, values: readonly Shift[]): string {
  const pairs = values.reduce((sum, value) => sum + value.pairs, 0);
  const right = values.reduce((sum, value) => sum + value.right, 0);
  const rows = values.map((v) => [v.name, v.from.toFixed(3), v.to.toFixed(3), `${v.right} of ${v.pairs}`]);
  return `${table([name, 'mean without', 'mean with', 'in the direction named'], rows)}\n\nTogether ${right} of ${pairs} pairs.`;
}

function recognised({ styles }: Recognised): string {
  const rows = Object.entries(styles).map(([name, { right, of, mistaken }]) => [
    name,
    `${right} of ${of}`,
    mistaken.join(', '),
  ]);
  return table(['style', 'recognised', 'taken for'], rows);
}

export function report(model: string, results: Evaluation): string {
  const parts = [
    `# How ${model} was measured`,
    `\`npm run models:eval ${model}\`${results.made ? ` on ${results.made}` : ''}. Every picture is made by the service, at 256 x 256 and the model's defaults unless said
otherwise, from the starters in \`evaluation/starters\`: plain scenes that no training drew, half of them photograph-like. The seed is the starter's number.`,
  ];
  const { autoencoder, style, photographs, looks, composition, colours, negatives, guidance } = results;
  if (autoencoder) {
    parts.push(`## Autoencoder

Influence 100 is the autoencoder alone. Peak signal-to-noise ratio on ${autoencoder.pictures} photograph-like starters: mean **${autoencoder.mean.toFixed(1)} dB**, worst ${autoencoder.worst.toFixed(1)} dB.
Latents are an eighth of the picture's size with 8 channels.`);
  }
  if (style) {
    parts.push(`## Style

The asked-for style is recognised in **${percent(style.share)}** of ${style.pictures} results at influence 25, by a committee of two small networks that learnt from what the code of \`models/training\` draws and from photographs in those looks, never from results.

It is frozen in a commit of its own. Of held-out pictures it names the style of ${percent(accuracy.untouched)} of untouched drawings, of ${percent(accuracy.photographs)} of photographs in every style, and of ${percent(accuracy.disturbed)} of drawings disturbed as a model might.
Of near misses, as half a style or one out of focus, it calls ${percent(accuracy.misses)} \`none\`.

By chance it would name ${percent(1 / labels.length)}; of the starters themselves it says the asked-for style of ${percent(style.ofStarters)}.

${recognised(style)}`);
  }
  if (photographs) {
    parts.push(`### On photographs

Twelve photographs that no training saw (\`evaluation/photographs\`), each in every style: **${percent(photographs.share)}** of ${photographs.pictures}.

${recognised(photographs)}`);
  }
  if (looks) {
    const rows = looks.map((l) => [
      `${l.look}: ${measures[l.look].name}`,
      ...[l.starters, l.at25, l.at50, l.simulated].map((value) => value.toFixed(2)),
    ]);
    parts.push(`## The look

A judge may be content with less than an eye. These measures (\`evaluation/looks.ts\`) run from 0 to 1 and know nothing of it. Means of ${looks[0]?.pictures} starters, half of them
photograph-like, and of six pictures that the code of \`models/training\` made of the drawn ones.

${table(['look', 'starters', 'influence 25', 'influence 50', 'simulated'], rows)}`);
  }
  if (composition) {
    const rows = composition.map((c) => [c.influence, c.layout.toFixed(3), c.distance.toFixed(3)]);
    parts.push(`## Composition

Layout is the correlation of 16 x 16 cells' mean colours with the starter's; distance is the root mean square difference of all pixels.
${composition[0]?.pictures} starters, each with one style as prompt.

${table(['influence', 'layout', 'distance'], rows)}`);
  }
  if (colours) parts.push(`## Words\n\nInfluence 25; without is the empty prompt.\n\n${shifts('prompt', colours)}`);
  if (negatives) {
    parts.push(`## Negative prompts

"pink pastel" at influence 25; "digital art, vector" at influence 15 and guidance 9, without a prompt.

${shifts('negative prompt', negatives)}`);
  }
  if (guidance) {
    const rows = guidance.map(({ name, means, right, pictures }) => [
      name,
      ...['7', '10', '13'].map((key) => means[key]!.toFixed(3)),
      `${right} of ${pictures}`,
    ]);
    parts.push(
      `## Guidance\n\nInfluence 50.\n\n${table(['prompt', '7', '10', '13', 'further at 13 than at 7'], rows)}`,
    );
  }
  return `${parts.join('\n\n')}\n`;
}
