/** Figures of rounds as minimum, median and maximum. Pure. */

export interface Figures {
  readonly messagesPerRun: number;
  readonly floorPerSecond: number;
  readonly runsPerSecond: number;
  readonly saturatedRatio: number;
  readonly floorOneMs: number;
  readonly runP50Ms: number;
  readonly runP99Ms: number;
  readonly sequentialRatio: number;
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

export function summarize(all: readonly Figures[]): Record<keyof Figures, Spread> {
  const of = (key: keyof Figures): Spread => spread(all.map((figures) => figures[key]));
  return {
    messagesPerRun: of('messagesPerRun'),
    floorPerSecond: of('floorPerSecond'),
    runsPerSecond: of('runsPerSecond'),
    saturatedRatio: of('saturatedRatio'),
    floorOneMs: of('floorOneMs'),
    runP50Ms: of('runP50Ms'),
    runP99Ms: of('runP99Ms'),
    sequentialRatio: of('sequentialRatio'),
  };
}

const ROWS: readonly (readonly [keyof Figures, string, number])[] = [
  ['messagesPerRun', 'messages stored per run', 1],
  ['floorPerSecond', 'floor: publishes/s, 256 in flight', 0],
  ['runsPerSecond', 'runs/s, 256 open', 0],
  ['saturatedRatio', 'ratio: messages of runs / floor', 2],
  ['floorOneMs', 'floor: one publish, ms', 2],
  ['runP50Ms', 'one run at a time, p50 ms', 1],
  ['runP99Ms', 'one run at a time, p99 ms', 1],
  ['sequentialRatio', 'ratio: run / publish', 1],
];

/** A table for people. */
export function formatSummary(sync: string, summary: Record<keyof Figures, Spread>): string {
  const lines = ROWS.map(([key, label, digits]) => {
    const { min, median, max } = summary[key];
    const cells = [min, median, max].map((value) => value.toFixed(digits).padStart(10));
    return `  ${label.padEnd(36)}${cells.join('')}`;
  });
  return [`\nsync_interval ${sync}${' '.repeat(Math.max(1, 25 - sync.length))}min    median       max`, ...lines].join(
    '\n',
  );
}
