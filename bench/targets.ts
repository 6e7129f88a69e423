/** The targets of issue 4 as data. Whether one is met is computed here from what was measured, and nowhere typed. Pure. */
import type { Figure } from './benchmark.ts';

export interface Target {
  readonly figure: string;
  /** Holds only against this one; against everything when left out. */
  readonly against?: string;
  /** What is judged: the figure itself, or how many times better it is than what ran beside it. */
  readonly on: 'value' | 'ratio';
  readonly direction: 'least' | 'most';
  readonly limit: number;
  /** Of the limit, when the value is judged: a figure in another unit is an error, never silently compared. */
  readonly unit?: string;
  /** The target in words, as the issue has it. */
  readonly sentence: string;
}

const APPEND: readonly Target[] = [
  {
    ...{ figure: 'append.lazy.share', on: 'ratio', direction: 'least', limit: 0.6 },
    sentence: 'appends through the journal, lazy sync: at least 60 % of the hand-rolled publish limit',
  },
  {
    ...{ figure: 'append.always.factor', on: 'ratio', direction: 'least', limit: 6 },
    sentence: 'appends through the journal, every one fsynced: at least 6 times what single publishes give',
  },
  {
    ...{ figure: 'append.always.alone', on: 'ratio', direction: 'least', limit: 1 },
    sentence: 'the same at low load: never slower than single publishes',
  },
];

function functionRates(sync: 'lazy' | 'always', floors: Readonly<Record<string, number>>): readonly Target[] {
  const how = sync === 'lazy' ? 'lazy sync' : 'every append fsynced';
  return [3, 9].flatMap((steps) =>
    Object.entries(floors).map(
      ([against, limit]): Target => ({
        ...{ figure: `functions.${steps}.${sync}.rate`, against, on: 'ratio', direction: 'least', limit },
        sentence: `durable functions of ${steps} steps, saturated, ${how}: at least ${limit} times ${against}`,
      }),
    ),
  );
}

const FUNCTIONS: readonly Target[] = [
  ...functionRates('lazy', { restate: 10, dbos: 6, temporal: 6, bullmq: 6 }),
  ...functionRates('always', { restate: 6 }),
  {
    ...{ figure: 'functions.3.lazy.p50', on: 'value', direction: 'most', limit: 1.2, unit: 'ms' },
    sentence: 'a durable function of 3 steps alone, p50, lazy sync: at most 1.2 ms',
  },
  {
    ...{ figure: 'functions.3.always.p50', on: 'value', direction: 'most', limit: 3, unit: 'ms' },
    sentence: 'a durable function of 3 steps alone, p50, every append fsynced: at most 3 ms',
  },
];

const REST: readonly Target[] = [
  {
    ...{ figure: 'declared.step.p50', on: 'value', direction: 'most', limit: 2, unit: 'ms' },
    sentence: 'a declared workflow with a remote worker, step to step, p50, lazy sync: at most 2 ms',
  },
  {
    ...{ figure: 'prefect.running.p50', on: 'value', direction: 'most', limit: 250, unit: 'ms' },
    sentence: 'from the message to the Prefect flow Running, p50: at most 250 ms',
  },
  {
    ...{ figure: 'prefect.running.factor', on: 'ratio', direction: 'least', limit: 20 },
    sentence: 'the same: at least 20 times faster than the stock worker',
  },
  {
    ...{ figure: 'cold.first', on: 'value', direction: 'most', limit: 5, unit: 's' },
    sentence: 'a controller with 10,000 open runs after kill -9: its first new transition within 5 s',
  },
  {
    ...{ figure: 'cold.all', on: 'value', direction: 'most', limit: 30, unit: 's' },
    sentence: 'the same: all of them within 30 s',
  },
  {
    ...{ figure: 'sleepers.rss', on: 'value', direction: 'most', limit: 300, unit: 'MB' },
    sentence: "1,000,000 sleeping runs: the controller's memory at most 300 MB",
  },
  {
    ...{ figure: 'sleepers.starts', on: 'ratio', direction: 'least', limit: 0.8 },
    sentence: 'the same: starts at most 20 % slower',
  },
  {
    ...{ figure: 'refold.rate', on: 'value', direction: 'least', limit: 300_000, unit: 'transitions/s' },
    sentence: 'refolding a journal: at least 300,000 transitions/s',
  },
  {
    ...{ figure: 'tracing.cost', on: 'ratio', direction: 'least', limit: 0.9 },
    sentence: 'tracing on, all runs sampled: at most 10 % of the throughput',
  },
  {
    ...{ figure: 'soak.memory', on: 'ratio', direction: 'least', limit: 0.9 },
    sentence: 'memory flat over 30 minutes at 70 % load: its end at most a ninth above its beginning, once warm',
  },
  {
    ...{ figure: 'soak.loop', on: 'value', direction: 'most', limit: 20, unit: 'ms' },
    sentence: 'the same: event-loop delay p99 at most 20 ms',
  },
];

export const TARGETS: readonly Target[] = [...APPEND, ...FUNCTIONS, ...REST];

export interface Judged {
  /** `ratio >= 10`, `value <= 1.2 ms`; null for a figure that the issue sets no target for. */
  readonly target: string | null;
  readonly met: boolean | null;
}

export function targetOf(figure: string, against: string, targets: readonly Target[] = TARGETS): Target | undefined {
  return targets.find(
    (one) => one.figure === figure && (one.against === undefined || one.against === against.toLowerCase()),
  );
}

/** The target as it stands in the tables. */
export function formatTarget({ on, direction, limit, unit }: Target): string {
  return `${on} ${direction === 'least' ? '>=' : '<='} ${limit}${unit === undefined ? '' : ` ${unit}`}`;
}

/**
 * Compares a figure with its target.
 * @throws when the figure's unit is not its target's
 */
export function judge(
  { figure, against, value, ratio, unit }: Pick<Figure, 'figure' | 'against' | 'value' | 'ratio' | 'unit'>,
  targets: readonly Target[] = TARGETS,
): Judged {
  const target = targetOf(figure, against, targets);
  if (target === undefined) return { target: null, met: null };
  if (target.unit !== undefined && target.unit !== unit) {
    throw new Error(`${figure} is measured in ${unit}, its target is in ${target.unit}`);
  }
  const measured = target.on === 'ratio' ? ratio : value;
  // NaN meets nothing.
  const met = target.direction === 'least' ? measured >= target.limit : measured <= target.limit;
  return { target: formatTarget(target), met };
}
