import type { Readable } from 'node:stream';

/** Lines of a text that nobody has bounded: what is longer than `most` characters comes in pieces. */
export function eachLine(stream: Readable, most: number, tell: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) tell(line);
    while (rest.length > most) {
      tell(rest.slice(0, most));
      rest = rest.slice(most);
    }
  });
  stream.on('end', () => rest !== '' && tell(rest));
}
