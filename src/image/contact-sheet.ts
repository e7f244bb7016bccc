// Pictures of one starter side by side, with titles that a person can read: the axes' names and values, and what all have in common.

import { fileURLToPath } from 'node:url';
import sharp, { type OverlayOptions } from 'sharp';
import type { Pixels } from '../pixels.js';

export interface SheetAxis {
  readonly name: string;
  readonly values: readonly string[];
}

export interface Sheet {
  readonly starter: Pixels;
  /** What all pictures have in common, a line each. */
  readonly facts: readonly string[];
  readonly columns: SheetAxis;
  readonly rows: SheetAxis | undefined;
  /** Row by row. */
  readonly pictures: readonly Pixels[];
}

/** Longest side of a picture on the sheet; larger ones are made smaller. */
const maxSide = 256;
const margin = 24;
const gap = 10;
const rowTitleWidth = 150;
/** A longer value is cut off on the sheet: it would be taller than its picture. */
const maxValueChars = 90;

// Shipped with the server, so that no font of the system's is needed.
const regular = fileURLToPath(new URL('../../fonts/DejaVuSans.ttf', import.meta.url));

export async function contactSheet({ starter, facts, columns, rows, pictures }: Sheet): Promise<Pixels> {
  const thumbnails = await Promise.all(pictures.map(thumbnail));
  const first = await thumbnail(starter);
  const cellWidth = Math.max(...thumbnails.map(({ width }) => width), 96);
  const cellHeight = Math.max(...thumbnails.map(({ height }) => height));
  const left = margin + (rows ? rowTitleWidth + gap : 0);
  const gridWidth = columns.values.length * (cellWidth + gap) - gap;
  const width = Math.max(left + gridWidth + margin, margin + first.width + gap * 2 + 300 + margin);
  const overlays: OverlayOptions[] = [];
  const place = ({ input, raw }: Placed, x: number, y: number) =>
    overlays.push({ input, left: Math.round(x), top: Math.round(y), ...(raw && { raw }) });

  // The starter, and beside it what all pictures have in common.
  const starterTitle = await text('starter', first.width, { size: 14 });
  place(starterTitle, margin, margin);
  let y = margin + starterTitle.height + 6;
  place(first, margin, y);
  const title = rows ? `${columns.name} by ${rows.name}` : columns.name;
  const aside = margin + first.width + 2 * gap;
  const headings = [
    await text(title, width - aside - margin, { size: 24 }),
    ...(await Promise.all(facts.map((fact) => text(fact, width - aside - margin, { size: 14 })))),
  ];
  let factsBottom = y;
  for (const heading of headings) {
    place(heading, aside, factsBottom);
    factsBottom += heading.height + gap;
  }
  y = Math.max(y + first.height, factsBottom) + margin;

  // The columns' name and values.
  const columnsName = await text(columns.name, gridWidth, { size: 16 });
  place(columnsName, left, y);
  y += columnsName.height + gap;
  const columnTitles = await Promise.all(
    columns.values.map((value) => text(shortened(value), cellWidth, { size: 16 })),
  );
  for (const [i, heading] of columnTitles.entries()) place(heading, left + i * (cellWidth + gap), y);
  y += Math.max(...columnTitles.map(({ height }) => height)) + 6;

  // The pictures, each row behind its value.
  const rowTitles = await Promise.all(
    (rows?.values ?? []).map((value) => text(`${rows!.name}\n${shortened(value)}`, rowTitleWidth, { size: 16 })),
  );
  const rowHeight = Math.max(cellHeight, ...rowTitles.map(({ height }) => height)) + gap;
  for (const [i, heading] of rowTitles.entries()) place(heading, margin, y + i * rowHeight);
  for (const [i, picture] of thumbnails.entries()) {
    const [row, column] = [Math.floor(i / columns.values.length), i % columns.values.length];
    place(picture, left + column * (cellWidth + gap), y + row * rowHeight);
  }
  const height = y + (rows?.values.length ?? 1) * rowHeight - gap + margin;

  const { data, info } = await sharp({ create: { width, height, channels: 3, background: 'white' } })
    .composite(overlays)
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

interface Placed {
  readonly input: Buffer;
  readonly raw: { width: number; height: number; channels: 3 | 4 } | undefined;
  readonly width: number;
  readonly height: number;
}

async function thumbnail({ data, width, height }: Pixels): Promise<Placed> {
  const { data: input, info } = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize({ width: maxSide, height: maxSide, fit: 'inside', withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const raw = { width: info.width, height: info.height, channels: 3 } as const;
  return { input, raw, width: info.width, height: info.height };
}

/** Lines of text, broken to a width. @param size in pixels */
async function text(plain: string, width: number, { size }: { size: number }): Promise<Placed> {
  // Pango reads markup, and refuses what XML cannot hold.
  const markup = plain
    .replace(/[^\t\n\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;');
  const { data, info } = await sharp({
    text: {
      text: `<span foreground="#222222">${markup.trim() === '' ? '(none)' : markup}</span>`,
      font: `DejaVu Sans ${size}px`,
      fontfile: regular,
      dpi: 72,
      width: Math.round(width),
      wrap: 'word-char',
      rgba: true,
    },
  })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const raw = { width: info.width, height: info.height, channels: 4 } as const;
  return { input: data, raw, width: info.width, height: info.height };
}

function shortened(value: string): string {
  return value.length > maxValueChars ? `${value.slice(0, maxValueChars - 1)}…` : value;
}
