/** How figures are named in the tables, and why a peer does better where one does. Data; Pure. */

const WORKLOADS: Readonly<Record<string, string>> = {
  'append.lazy.share': 'journal appends, lazy sync',
  'append.always.factor': 'journal appends, every one fsynced',
  'append.always.alone': 'one append at a time, fsynced',
  'limits.rate': 'hand-rolled publish loop, 128 B, 500 in flight',
  'limits.alone': 'hand-rolled publish loop, 128 B, one at a time',
  'declared.step.p50': 'declared workflow, remote worker: step to step, p50',
  'prefect.running.p50': 'message → Prefect flow Running, p50',
  'prefect.running.factor': "Prefect's own worker: flow run → Running, p50",
  'prefect.running.quick': "Prefect's own worker polling every second: flow run → Running, p50",
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
  const linear = /^linear\.(messages|wireIn)$/.exec(figure);
  if (linear !== null)
    return `${linear[1] === 'messages' ? 'messages stored' : 'messages sent'} per run, 4 controllers`;
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
  /** Figures it is about: an id, or its beginning and end around a `*`. */
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
    figure: 'functions.*',
    against: 'temporal-local',
    why: 'Local activities are stored together when the workflow task ends, not one by one before the next begins.',
  },
  {
    figure: 'fanout.1000',
    against: 'dbos',
    why: 'A library calls its steps in the same process and writes their results through a pool of connections.',
  },
  {
    figure: 'payload.256k.rate',
    why: 'Large payloads are limited by copying and writing bytes: Millrace stores JSON text, in the input, in each entry and in the result.',
  },
  {
    figure: '*.bare',
    why: 'A run is more than its publishes: inputs are delivered and acknowledged, and the next step waits for the one before.',
  },
  {
    figure: 'prefect.*',
    why: 'Prefect itself takes most of the time: both ask the same server.',
  },
  {
    figure: 'soak.memory',
    why: 'Memory ended above where it began; the series of the soak shows its course.',
  },
  {
    figure: 'linear.*',
    why: 'More controllers share the same inputs, so now and then two look at one run.',
  },
  {
    figure: 'cold.*',
    why: 'Recovery reads what a run that was never interrupted has in memory.',
  },
  {
    figure: 'sleepers.*',
    why: 'Sleeping runs take memory and their timers are stored on the same server.',
  },
  {
    figure: 'starts.sleeping.*',
    why: 'The timers of the sleeping runs are stored on the same server.',
  },
  {
    figure: 'declared.step.p50',
    why: 'A step is its publishes and as many deliveries to two other processes.',
  },
  {
    figure: 'refold.rate',
    why: 'It parses the same JSON and then folds what it parsed.',
  },
  {
    figure: 'append.lazy.share',
    why: 'The limit is bare publishing: no expected sequence to check, no entry to encode, no run to keep in order.',
  },
  {
    figure: 'limits.*',
    why: 'nats bench is a Go program that encodes, sends and reads on threads of its own; the loop is one JavaScript thread.',
  },
  {
    figure: 'tracing.cost',
    why: 'Spans are made and exported by the process that decides.',
  },
];

export function remarkOn(figure: string, against: string, remarks: readonly Remark[] = REMARKS): string | undefined {
  const fits = (wanted: string): boolean => {
    const [begin = '', end] = wanted.split('*');
    return end === undefined ? figure === wanted : figure.startsWith(begin) && figure.endsWith(end);
  };
  const candidates = remarks.filter((one) => fits(one.figure));
  const own = candidates.find((one) => one.against === against.toLowerCase());
  return (own ?? candidates.find((one) => one.against === undefined))?.why;
}
