/** Files that commands read and write: `@payload.json`, `@-` for stdin; what `--output` names. */
import { readFile, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { MillraceError, messageOf } from '../kernel/index.ts';

/**
 * The text of an argument: itself, or the content of the file it names after `@`.
 * @throws MillraceError MR_USAGE when the file cannot be read
 */
export async function readArgument(argument: string): Promise<string> {
  if (!argument.startsWith('@')) return argument;
  const path = argument.slice(1);
  try {
    return path === '-' ? await text(process.stdin) : await readFile(path, 'utf8');
  } catch (error) {
    throw new MillraceError('MR_USAGE', `cannot read "${path}": ${messageOf(error)}`, {
      hint: 'after @ goes the path of a file that you may read, or - for stdin',
      cause: error,
    });
  }
}

/**
 * Writes a file that a person named.
 * @throws MillraceError MR_USAGE when it cannot be written
 */
export async function writeText(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (error) {
    throw new MillraceError('MR_USAGE', `cannot write "${path}": ${messageOf(error)}`, {
      hint: 'give a path in a folder that exists and that you may write to',
      cause: error,
    });
  }
}
