/** Tables for people: no frames, columns aligned, so that they can be cut and pasted. */
import Table from 'cli-table3';
import type { Colors } from './colors.ts';

const NO_FRAME = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
} as const;

/** A table without frames; lines carry no trailing blanks. */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[], c: Colors): string {
  const table = new Table({
    head: head.map((title) => c.bold(title)),
    chars: NO_FRAME,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split('\n')
    .map((text) => text.trimEnd())
    .join('\n');
}
