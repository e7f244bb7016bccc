// Panels of an SVG, one above the other, over one axis.

export interface Line {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly number[];
  /** Filled down to zero instead of drawn as a line. */
  readonly filled?: boolean;
}

export interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
}

const width = 960;
const margin = { left: 56, right: 20 };
const panelHeight = 150;
const panelGap = 62;
const plotWidth = width - margin.left - margin.right;

/** A mark of the axis, at a share of its length. */
export interface Tick {
  readonly at: number;
  readonly text: string;
}

export function drawPanels(title: string, panels: readonly Panel[], ticks: readonly Tick[]): string {
  const top = (i: number) => 76 + i * (panelHeight + panelGap);
  const height = top(panels.length - 1) + panelHeight + 36;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${margin.left}" y="28" font-size="16" font-weight="600" fill="#111827">${title}</text>`,
    ...panels.flatMap((panel, i) => drawPanel(panel, top(i), ticks)),
    '</svg>',
    '',
  ].join('\n');
}

function drawPanel({ title, lines }: Panel, top: number, ticks: readonly Tick[]): string[] {
  const highest = niceCeiling(Math.max(...lines.flatMap(({ values }) => values)));
  const x = (i: number, count: number) => (margin.left + (i / count) * plotWidth).toFixed(1);
  const y = (value: number) => (top + panelHeight * (1 - value / highest)).toFixed(1);
  const bottom = top + panelHeight;
  let legend = margin.left + plotWidth;
  return [
    `<text x="${margin.left}" y="${top - 12}" font-weight="600" fill="#111827">${title}</text>`,
    ...[0, highest / 2, highest].map(
      (value) =>
        `<path d="M${margin.left} ${y(value)}h${plotWidth}" stroke="#e5e7eb"/><text x="${margin.left - 8}" y="${Number(y(value)) + 4}" text-anchor="end" fill="#4b5563">${value}</text>`,
    ),
    ...ticks.map(
      ({ at, text }) =>
        `<path d="M${x(at, 1)} ${bottom}v5" stroke="#9ca3af"/><text x="${x(at, 1)}" y="${bottom + 20}" text-anchor="middle" fill="#4b5563">${text}</text>`,
    ),
    ...lines.map(({ values, colour, filled }) => {
      const points = values.map((value, i) => `${x(i, values.length)} ${y(value)}`).join('L');
      return filled
        ? `<path d="M${margin.left} ${bottom}L${points}L${margin.left + plotWidth} ${bottom}Z" fill="${colour}" fill-opacity="0.75"/>`
        : `<path d="M${points}" fill="none" stroke="${colour}" stroke-width="1.8"/>`;
    }),
    // From the right, so that the title keeps the left.
    ...[...lines].reverse().map(({ name, colour }) => {
      legend -= 7.2 * name.length + 34;
      return `<rect x="${legend.toFixed(0)}" y="${top - 21}" width="14" height="8" rx="2" fill="${colour}"/><text x="${(legend + 20).toFixed(0)}" y="${top - 12}" fill="#374151">${name}</text>`;
    }),
  ];
}

/** The next of a few round numbers. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.1)));
  return [1, 1.2, 1.6, 2, 4, 6, 8, 10].map((n) => n * power).find((n) => n >= value - 1e-9)!;
}
