/** An error as one line of a table. Pure. */
import { ROOT_DIR } from '../ops/lib/paths.ts';

const MOST = 300;

/** What an error says, without stack, source text and the paths of this machine. */
export function sentenceOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const lines = text.split('\n').map((line) => line.trim());
  const first = lines.find((line) => line !== '') ?? 'it failed without a message';
  // A stack of a file that does not load begins with the file and its source; what is wrong comes after them.
  const telling = /^file:|: file:/.test(first) ? lines.find((line) => /^\w*Error\b.*: /.test(line)) : undefined;
  const sentence = (telling ?? first).replaceAll(`file://${ROOT_DIR}/`, '').replaceAll(`${ROOT_DIR}/`, '');
  return sentence.length > MOST ? `${sentence.slice(0, MOST)}…` : sentence;
}
