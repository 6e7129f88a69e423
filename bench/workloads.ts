/** What durable functions are measured with, the same for Millrace and for every peer. */
import type { Sync } from './benchmark.ts';
import type { HostHandle } from './systems/client.ts';

/** What a system does at its best. */
export interface Capacity {
  /** Runs under way when saturated: of those tried the number at which it does most. */
  readonly atOnce: number;
  /** Runs of three steps per second then. */
  readonly rate: number;
}

export interface Tuned extends Capacity {
  /** Runs per second that are offered to both systems of a pair in the open loop. */
  readonly offered: number;
  /** Shorter windows, fewer runs. */
  readonly quick: boolean;
}

export interface Workload {
  readonly key: string;
  readonly figure: (sync: Sync) => string;
  readonly label: string;
  readonly unit: string;
  readonly digits: number;
  /** Which of two values is the better one. */
  readonly better: 'more' | 'less';
  /** Measured under one setting only. */
  readonly only?: Sync;
  readonly notQuick?: true;
  /** What a system must be able to do; one that cannot has a gap here. */
  readonly needs?: { readonly can: keyof HostHandle['can']; readonly name: string };
  /** The value, and further rows beside it. */
  measure(host: HostHandle, tuned: Tuned): Promise<{ readonly value: number; readonly beside?: Beside }>;
}

/** What a workload took of the machine. */
export interface Beside {
  readonly p99Ms: number;
  readonly hostCpuMs: number;
  readonly serversCpuMs: number;
  readonly hostRssMb: number;
  readonly serversRssMb: number;
}

/** Numbers of runs at once that are tried. */
const TRIED = [32, 128, 512, 1_024] as const;
const QUICK_AT_ONCE = 64;
const RATE_SECONDS = 2;
const QUICK_SECONDS = 0.5;
const WARM_SECONDS = 0.7;
const LONGEST_SECONDS = 8;
const PAYLOADS = { '4k': 4_096, '256k': 262_144 } as const;
/** So many runs of 256 kB at once are enough to be busy, and more is memory only. */
const LARGE_AT_ONCE = 32;
/** Windows for payloads are as if runs took so much longer. */
const PAYLOAD_FACTOR = 3;
const ALONE = 120;
const FAN_OUT = 1_000;
const SLEEP_MS = 1_000;
const SLEEPERS = 200;
const SIGNALS = 60;

interface Windows {
  readonly seconds: number;
  readonly warmSeconds: number;
}

/** Long enough that all who are under way come round several times, however slow the system is. */
function windows(quick: boolean, roundSeconds: number): Windows {
  const least = quick ? QUICK_SECONDS : RATE_SECONDS;
  return {
    seconds: Math.min(LONGEST_SECONDS, Math.max(least, 2 * roundSeconds)),
    warmSeconds: Math.min(LONGEST_SECONDS, Math.max(WARM_SECONDS, roundSeconds)),
  };
}

/** Seconds that a run of so many steps takes when `atOnce` are under way. */
function roundSeconds({ rate }: Capacity, atOnce: number, steps: number): number {
  return (atOnce / rate) * Math.max(1, steps / 3);
}

/** A system whose runs take longer than this at a number of runs at once is busy: more would only wait longer. */
const BUSY_SECONDS = 8;

/**
 * Tries numbers of runs at once, until more gives less or fails. When quick it tries one.
 * @param host is asked for each: one that failed is a new one then
 * @throws what the first number fails with
 */
export async function findCapacity(
  host: () => Promise<Pick<HostHandle, 'saturated'>>,
  quick: boolean,
): Promise<Capacity> {
  const measure = async (atOnce: number, waveSeconds: number): Promise<Capacity> => {
    const { perSecond } = await (await host()).saturated({ steps: 3, atOnce, ...windows(true, waveSeconds) });
    return { atOnce, rate: perSecond };
  };
  // Nothing is known of a system before its first window.
  if (quick) return measure(QUICK_AT_ONCE, 0.5);
  const [first, ...more] = TRIED;
  let best = await measure(first, 1);
  for (const atOnce of more) {
    const wave = roundSeconds(best, atOnce, 3);
    if (wave > BUSY_SECONDS) break;
    const tried = await measure(atOnce, wave).catch(() => undefined); // it does not stand so many
    if (tried === undefined || tried.rate < 0.9 * best.rate) break;
    if (tried.rate > best.rate) best = tried;
  }
  return best;
}

function rate(steps: number): Workload {
  return {
    key: `rate${steps}`,
    figure: (sync) => `functions.${steps}.${sync}.rate`,
    label: `${steps} step${steps === 1 ? '' : 's'}, saturated, runs/s`,
    ...{ unit: 'runs/s', digits: 0, better: 'more' },
    ...(steps === 3 ? {} : { notQuick: true as const }),
    async measure(host, tuned) {
      const { atOnce, quick } = tuned;
      const load = await host.saturated({ steps, atOnce, ...windows(quick, roundSeconds(tuned, atOnce, steps)) });
      const { perSecond, p99Ms, cpuMsPerRun, rssMb } = load;
      return {
        value: perSecond,
        beside: {
          ...{ p99Ms, hostCpuMs: cpuMsPerRun.host, serversCpuMs: cpuMsPerRun.servers },
          ...{ hostRssMb: rssMb.host, serversRssMb: rssMb.servers },
        },
      };
    },
  };
}

function payload(size: keyof typeof PAYLOADS): Workload {
  return {
    key: `payload${size}`,
    figure: () => `payload.${size}.rate`,
    label: `3 steps, payloads of ${size}B, saturated, runs/s`,
    ...{ unit: 'runs/s', digits: 0, better: 'more', only: 'lazy', notQuick: true },
    async measure(host, tuned) {
      const atOnce = size === '256k' ? Math.min(tuned.atOnce, LARGE_AT_ONCE) : tuned.atOnce;
      const slower = PAYLOAD_FACTOR * roundSeconds(tuned, atOnce, 3);
      const options = { steps: 3, atOnce, payloadBytes: PAYLOADS[size], ...windows(tuned.quick, slower) };
      return { value: (await host.saturated(options)).perSecond };
    },
  };
}

const ALONE_3: Workload = {
  key: 'alone3',
  figure: (sync) => `functions.3.${sync}.p50`,
  label: '3 steps, one run at a time, p50 ms',
  ...{ unit: 'ms', digits: 2, better: 'less' },
  measure: async (host, { quick }) => ({
    value: (await host.alone({ steps: 3, count: quick ? ALONE / 4 : ALONE })).p50Ms,
  }),
};

const OPEN_3: Workload = {
  key: 'open3',
  figure: (sync) => `functions.3.${sync}.open.p99`,
  label: '3 steps, open loop at half the rate of the slower, p99 ms',
  ...{ unit: 'ms', digits: 1, better: 'less' },
  measure: async (host, { offered, quick }) => ({
    value: (await host.openLoop({ steps: 3, perSecond: offered, ...windows(quick, 0) })).p99Ms,
  }),
};

const FAN_OUT_1000: Workload = {
  key: 'fanOut',
  figure: () => 'fanout.1000',
  label: 'fan-out of 1,000 steps, p50 ms',
  ...{ unit: 'ms', digits: 0, better: 'less', only: 'lazy', notQuick: true },
  needs: { can: 'fanOut', name: 'fan-out' },
  measure: async (host) => ({ value: (await host.fanOut({ width: FAN_OUT, count: 3 })).p50Ms }),
};

const TIMERS: Workload = {
  key: 'timers',
  figure: () => 'timers.late',
  label: `durable sleep of 1 s, ${SLEEPERS} sleepers: so late, p50 ms`,
  ...{ unit: 'ms', digits: 1, better: 'less', only: 'lazy', notQuick: true },
  needs: { can: 'sleep', name: 'durable sleep' },
  measure: async (host) => ({ value: (await host.sleep({ ms: SLEEP_MS, count: SLEEPERS })).p50Ms }),
};

const SIGNALS_60: Workload = {
  key: 'signals',
  figure: () => 'signals.p50',
  label: 'from signal to result, p50 ms',
  ...{ unit: 'ms', digits: 2, better: 'less', only: 'lazy', notQuick: true },
  needs: { can: 'signal', name: 'signals' },
  measure: async (host) => ({ value: (await host.signal({ count: SIGNALS })).p50Ms }),
};

/** Cheap ones first; the open loop needs the rate at three steps, so it comes after that. */
export const WORKLOADS: readonly Workload[] = [
  ...[1, 3, 9].map(rate),
  ...[ALONE_3, OPEN_3],
  ...[payload('4k'), payload('256k')],
  ...[SIGNALS_60, TIMERS, FAN_OUT_1000],
];

export function workloadsOf(sync: Sync, quick: boolean): readonly Workload[] {
  return WORKLOADS.filter(({ only, notQuick }) => (only ?? sync) === sync && !(quick && notQuick === true));
}

/** How many times better ours is. */
export function timesBetter({ better }: Pick<Workload, 'better'>, ours: number, theirs: number): number {
  return better === 'more' ? ours / theirs : theirs / ours;
}
