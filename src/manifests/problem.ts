/** What is wrong with a manifest, as a value: all problems are collected, none is thrown. */
import { type ErrorCode, formatPlace, type Place } from '../kernel/index.ts';

export interface Problem {
  /** `error` stops plan and apply; `warning` is likely a mistake; `note` is advice. */
  readonly severity: 'error' | 'warning' | 'note';
  readonly code: ErrorCode;
  /** The rule that found it, e.g. `unknown-field`; docs/manifests.md lists them. */
  readonly rule: string;
  readonly message: string;
  readonly hint?: string;
  readonly place: Place;
}

/** `true` when none of the problems is an error. */
export function isAcceptable(problems: readonly Problem[]): boolean {
  return problems.every((problem) => problem.severity !== 'error');
}

const ORDER = { error: 0, warning: 1, note: 2 } as const;

/** By file, then by place in it; the graver one first on the same spot. */
export function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  return [...problems].sort((a, b) => {
    const files = (a.place.file ?? '').localeCompare(b.place.file ?? '');
    if (files !== 0) return files;
    const lines = (a.place.line ?? 0) - (b.place.line ?? 0) || (a.place.column ?? 0) - (b.place.column ?? 0);
    return lines || ORDER[a.severity] - ORDER[b.severity] || a.rule.localeCompare(b.rule);
  });
}

/**
 * The problem for people: where, what, the line it is on with a caret, and what to do.
 * @param text the file's text, for the excerpt
 */
export function formatProblem(problem: Problem, text?: string): string {
  const { place, severity, message, code, rule, hint } = problem;
  const lines = [`${formatPlace(place)}`, `  ${severity}: ${message} (${code}, ${rule})`];
  lines.push(...excerpt(place, text));
  if (hint !== undefined) lines.push(`  hint: ${hint}`);
  return lines.join('\n');
}

function excerpt(place: Place, text: string | undefined): readonly string[] {
  const { line, column } = place;
  const source = line === undefined ? undefined : text?.split('\n')[line - 1]?.replace(/\r$/, '');
  if (source === undefined || line === undefined || column === undefined) return [];
  const word = /^(?:"[^"]*"|'[^']*'|[^\s,\]}]+)/.exec(source.slice(column - 1))?.[0] ?? '';
  const length = Math.max(1, word.replace(/:$/, '').length);
  const gutter = ' '.repeat(String(line).length);
  return [`  ${gutter} |`, `  ${line} | ${source}`, `  ${gutter} | ${' '.repeat(column - 1)}${'^'.repeat(length)}`];
}

/** `2 errors, 1 warning`; undefined when there is nothing to count. */
export function countProblems(problems: readonly Problem[]): string | undefined {
  const parts = (['error', 'warning', 'note'] as const).flatMap((severity) => {
    const n = problems.filter((problem) => problem.severity === severity).length;
    return n === 0 ? [] : [`${n} ${severity}${n === 1 ? '' : 's'}`];
  });
  return parts.length === 0 ? undefined : parts.join(', ');
}
