// The day as an SVG: requests, replicas and waits over 24 hours, one above the other.

import type { Minute } from './day.js';

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly number[];
  /** Filled down to zero instead of drawn as a line. */
  readonly filled?: boolean;
}

interface Panel {
  readonly title: string;
  readonly top: number;
  readonly lines: readonly Line[];
}

const width = 960;
const margin = { left: 56, right: 20 };
const panelHeight = 150;
const panelGap = 62;
const plotWidth = width - margin.left - margin.right;

/** @param capacity requests per second that one ready replica can take */
export function plotDay(minutes: readonly Minute[], capacity: number, title: string): string {
  const every5 = Array.from({ length: minutes.length / 5 }, (_, i) => minutes.slice(5 * i, 5 * i + 5));
  const per5 = (pick: (minute: Minute) => number, join: (values: number[]) => number) =>
    every5.map((five) => join(five.map(pick)));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const largest = (values: number[]) => Math.max(...values);
  const panels: Panel[] = [
    {
      title: 'Requests per second',
      top: 0,
      lines: [
        {
          name: 'capacity of the ready replicas',
          colour: '#9aa5b1',
          values: per5(({ ready }) => ready * capacity, mean),
        },
        { name: 'requests', colour: '#2563eb', values: per5(({ arrivals }) => arrivals / 60, mean) },
        { name: 'rejected', colour: '#dc2626', filled: true, values: per5(({ rejected }) => rejected / 60, mean) },
      ],
    },
    {
      title: 'Replicas',
      top: 0,
      lines: [
        { name: 'started', colour: '#f59e0b', values: per5(({ replicas }) => replicas, largest) },
        { name: 'ready', colour: '#15803d', values: per5(({ ready }) => ready, mean) },
        { name: 'load, in replicas', colour: '#7c3aed', values: per5(({ load }) => load, mean) },
      ],
    },
    {
      title: 'Wait for a slot, 95th percentile of each minute, seconds',
      top: 0,
      lines: [{ name: 'wait', colour: '#2563eb', filled: true, values: per5(({ p95Wait }) => p95Wait, largest) }],
    },
  ].map((panel, i) => ({ ...panel, top: 76 + i * (panelHeight + panelGap) }));
  const height = panels.at(-1)!.top + panelHeight + 36;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${margin.left}" y="28" font-size="16" font-weight="600" fill="#111827">${title}</text>`,
    ...panels.flatMap(drawPanel),
    '</svg>',
    '',
  ].join('\n');
}

function drawPanel({ title, top, lines }: Panel): string[] {
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
    ...[0, 3, 6, 9, 12, 15, 18, 21, 24].map(
      (hour) =>
        `<path d="M${x(hour, 24)} ${bottom}v5" stroke="#9ca3af"/><text x="${x(hour, 24)}" y="${bottom + 20}" text-anchor="middle" fill="#4b5563">${hour}:00</text>`,
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
