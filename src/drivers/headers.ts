/**
 * Headers of a message as the bytes that go over the wire. The client library's own class keeps a map of lists and makes
 * text of it again for every publish; our messages carry one value per name and are published once. Pure.
 */
import { MillraceError } from '../kernel/index.ts';

export type Headers = Readonly<Record<string, string>>;

const VERSION = 'NATS/1.0\r\n';
/** What RFC 9110 calls a token, less the characters nobody uses in names. */
const NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const BREAKS = /[\r\n]/;

/** A header block of lines that {@link headerLines} made, its version line and the empty line at its end included. */
export function headerBlock(lines: string): Uint8Array {
  return Buffer.from(`${VERSION}${lines}\r\n`, 'utf8');
}

/**
 * The lines alone, each with its line break.
 * @throws MillraceError MR_INPUT_INVALID
 */
export function headerLines(headers: Headers): string {
  let lines = '';
  for (const name in headers) {
    const value = headers[name] ?? '';
    if (!NAME.test(name) || BREAKS.test(value)) throw unfit(name);
    lines += `${name}: ${value.trim()}\r\n`;
  }
  return lines;
}

function unfit(name: string): MillraceError {
  return new MillraceError('MR_INPUT_INVALID', `header ${JSON.stringify(name)} cannot be sent`, {
    hint: 'names are made of letters, digits and "-", values have no line breaks',
    place: { path: name },
  });
}
