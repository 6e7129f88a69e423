/** How figures are named in the tables, and why a peer does better where one does. Data; Pure. */

const WORKLOADS: Readonly<Record<string, string>> = {
  'append.lazy.share': 'journal appends, lazy sync',
  'append.always.factor': 'journal appends, every one fsynced',
  'append.always.alone': 'one append at a time, fsynced',
  'declared.step.p50': 'declared workflow, remote worker: step to step, p50',
  'prefect.running.p50': 'message → Prefect flow Running, p50',
  'prefect.running.factor': 'message → Prefect flow Running, p50',
  'cold.first': '10,000 open runs, controller after kill -9: first transition',
  'cold.all': '10,000 open runs, controller after kill -9: all of them',
  'sleepers.rss': '1,000,000 sleeping runs: controller memory',
  'sleepers.starts': '1,000,000 sleeping runs: starts',
  'refold.rate': 'refolding a journal',
  'tracing.cost': 'tracing on, all runs sampled',
  'soak.memory': '30 minutes at 70 % load: memory at the end',
  'soak.loop': '30 minutes at 70 % load: event-loop delay p99',
  'fanout.1000': 'fan-out of 1,000 steps',
  'timers.late': 'durable sleep: how late it ends, p50',
  'signals.p50': 'signal → result, p50',
  'starts.sleeping.10k': 'starts with 10,000 sleeping runs',
  'starts.sleeping.1m': 'starts with 1,000,000 sleeping runs',
};

const SYNC: Readonly<Record<string, string>> = { lazy: 'lazy', always: 'fsynced' };
const SIZES: Readonly<Record<string, string>> = { '128': '128 B', '4k': '4 kB', '256k': '256 kB' };

/** What a figure is, in words; a figure that has none keeps its id, so nothing goes unseen. */
export function labelOf(figure: string): string {
  const known = WORKLOADS[figure];
  if (known !== undefined) return known;
  const functions = /^functions\.(\d+)\.(lazy|always)\.(rate|p50|bare|open\.p99)$/.exec(figure);
  if (functions !== null) {
    const [, steps, sync = '', what] = functions;
    const load =
      what === 'rate'
        ? 'saturated'
        : what === 'p50'
          ? 'alone, p50'
          : what === 'bare'
            ? 'beside its publishes'
            : 'open loop, p99';
    return `function of ${steps} step${steps === '1' ? '' : 's'}, ${load}, ${SYNC[sync]}`;
  }
  const payload = /^payload\.(128|4k|256k)(?:\.(lazy|always))?\.rate$/.exec(figure);
  if (payload !== null) return `payloads of ${SIZES[payload[1] ?? '']}, saturated${suffix(payload[2])}`;
  const synced = /^(.+)\.(lazy|always)$/.exec(figure);
  const stem = WORKLOADS[synced?.[1] ?? ''];
  return stem === undefined ? figure : `${stem}${suffix(synced?.[2])}`;
}

function suffix(sync: string | undefined): string {
  return sync === undefined ? '' : `, ${SYNC[sync]}`;
}

/** The durable-execution systems and tools that Millrace is held against, as figures name them, and as they call themselves. */
export const PEERS: Readonly<Record<string, string>> = {
  restate: 'Restate',
  dbos: 'DBOS',
  temporal: 'Temporal',
  'temporal-local': 'Temporal, local activities',
  bullmq: 'BullMQ',
};

export interface Remark {
  /** Figures it is about: an id, or the beginning of ids when it ends in `*`. */
  readonly figure: string;
  readonly against?: string;
  readonly why: string;
}

/**
 * Why something else does better. Shown only for rows where it does (ratio below 1), so one that no longer holds goes away by itself;
 * a row without a remark is shown all the same.
 */
export const REMARKS: readonly Remark[] = [
  {
    figure: 'append.lazy.share',
    why: 'The limit is bare publishing: no expected sequence to check, no entry to encode, no run to keep in order.',
  },
  {
    figure: 'tracing.cost',
    why: 'Spans are made and exported by the same process that runs the steps.',
  },
];

export function remarkOn(figure: string, against: string, remarks: readonly Remark[] = REMARKS): string | undefined {
  const fits = (wanted: string): boolean =>
    wanted.endsWith('*') ? figure.startsWith(wanted.slice(0, -1)) : figure === wanted;
  const candidates = remarks.filter((one) => fits(one.figure));
  const own = candidates.find((one) => one.against === against.toLowerCase());
  return (own ?? candidates.find((one) => one.against === undefined))?.why;
}
