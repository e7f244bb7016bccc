// Where a command writes to, and how it writes numbers.

export interface Output {
  /** What was asked for. */
  print(text: string): void;
  /** What happens meanwhile. */
  tell(line: string): void;
  /** A line that the next one replaces; absent where that cannot be. */
  readonly replace?: (line: string) => void;
}

const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];

/** 4265380512 -> 4.27 GB */
export function inBytes(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

/** Columns that are as wide as their widest text. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((text, i) => text.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
