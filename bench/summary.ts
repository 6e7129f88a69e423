/** Figures of rounds as minimum, median and maximum. Pure. */

/** What one round of a benchmark measured, by row. */
export type Figures = Readonly<Record<string, number>>;

/** How one figure is shown. */
export interface Row {
  readonly key: string;
  readonly label: string;
  readonly digits: number;
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** The smallest value that at least `percent` per cent of the values do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export function spread(values: readonly number[]): Spread {
  return { min: Math.min(...values), median: percentile(values, 50), max: Math.max(...values) };
}

/** The spread of every row over the rounds; a figure that a round did not measure is left out of its spread. */
export function summarize(rows: readonly Row[], rounds: readonly Figures[]): Readonly<Record<string, Spread>> {
  return Object.fromEntries(
    rows.map(({ key }) => [key, spread(rounds.flatMap((figures) => (key in figures ? [figures[key] ?? 0] : [])))]),
  );
}

/** A Markdown table: readable in a terminal, and docs/benchmarks.md takes it as it is. */
export function formatSummary(title: string, rows: readonly Row[], summary: Readonly<Record<string, Spread>>): string {
  const width = Math.max(...rows.map(({ label }) => label.length));
  const line = (label: string, cells: readonly string[]): string =>
    `| ${label.padEnd(width)} | ${cells.map((cell) => cell.padStart(8)).join(' | ')} |`;
  return [
    `\n${title}`,
    line('', ['min', 'median', 'max']),
    `|${'-'.repeat(width + 2)}|${'---------:|'.repeat(3)}`,
    ...rows.flatMap(({ key, label, digits }) => {
      const found = summary[key];
      if (found === undefined) return [];
      return [
        line(
          label,
          [found.min, found.median, found.max].map((value) => value.toFixed(digits)),
        ),
      ];
    }),
  ].join('\n');
}
