/** What differs between two JSON values, line by line of their canonical texts. Pure. */
import { isObject } from '../kernel/index.ts';

export interface DiffLine {
  /** `-`: only recorded, `+`: only decided, ` `: both. */
  readonly side: '-' | '+' | ' ';
  readonly text: string;
}

/** Lines of context around a change. */
const AROUND = 2;
/** Beyond this many lines the exact diff is not worth its square. */
const MAX_LINES = 2_000;

/** Keys sorted, so that only content can differ. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const keys = Object.keys(value).filter((key) => value[key] !== undefined);
  return Object.fromEntries(keys.sort().map((key) => [key, sorted(value[key])]));
}

const linesOf = (value: unknown): string[] => (JSON.stringify(sorted(value), null, 2) ?? 'null').split('\n');

/** Lengths of the longest common subsequences of all suffixes. */
function commonLengths(a: readonly string[], b: readonly string[]): Uint32Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    const row = table[i];
    const below = table[i + 1];
    if (row === undefined || below === undefined) continue;
    for (let j = b.length - 1; j >= 0; j--) {
      row[j] = a[i] === b[j] ? (below[j + 1] ?? 0) + 1 : Math.max(below[j] ?? 0, row[j + 1] ?? 0);
    }
  }
  return table;
}

function allLines(a: readonly string[], b: readonly string[]): DiffLine[] {
  if (a.length > MAX_LINES || b.length > MAX_LINES) {
    return [...a.map((text) => ({ side: '-' as const, text })), ...b.map((text) => ({ side: '+' as const, text }))];
  }
  const common = commonLengths(a, b);
  const lines: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const left = a[i];
    const right = b[j];
    if (left !== undefined && left === right) {
      lines.push({ side: ' ', text: left });
      i++;
      j++;
    } else if (left !== undefined && (right === undefined || (common[i + 1]?.[j] ?? 0) >= (common[i]?.[j + 1] ?? 0))) {
      lines.push({ side: '-', text: left });
      i++;
    } else if (right !== undefined) {
      lines.push({ side: '+', text: right });
      j++;
    }
  }
  return lines;
}

/** The changed lines with what stands around them; empty when the values are equal. */
export function diffJson(recorded: unknown, decided: unknown): readonly DiffLine[] {
  const lines = allLines(linesOf(recorded), linesOf(decided));
  const near = (index: number): boolean =>
    lines.slice(Math.max(0, index - AROUND), index + AROUND + 1).some(({ side }) => side !== ' ');
  return lines.filter((_, index) => near(index));
}
