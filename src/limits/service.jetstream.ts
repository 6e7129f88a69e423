/** Limits kept by this process: the keeper on its consumer, the sweep every few seconds. */
import { type NatsDoor, systemClock } from '../drivers/index.ts';
import type { Consumption, Journal } from '../engine/index.ts';
import type { Clock } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { openLimitJournal } from './journal.jetstream.ts';
import { LimitKeeper } from './keeper.ts';
import { LimitSweep } from './sweep.ts';

export interface LimitServiceOptions {
  readonly door: NatsDoor;
  /** Where the runs are that hold slots. Stays the caller's. */
  readonly journal: Pick<Journal, 'send' | 'entries'>;
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
  /** Time from one sweep to the next, in ms; 5,000 by default. */
  readonly sweepMs?: number;
}

export interface LimitService {
  /** Takes no more, finishes what is under way. */
  stop(): Promise<void>;
  /** False while the consumer cannot be had. */
  readonly bound: boolean;
}

const SWEEP_MS = 5_000;

/** Begins at once. Any number of processes may do so on the same streams. */
export function startLimits(options: LimitServiceOptions): LimitService {
  const { door, journal, telemetry, clock = systemClock, sweepMs = SWEEP_MS } = options;
  const report = (message: string, error?: unknown): void => telemetry.log.warn({ err: error }, message);
  const limits = openLimitJournal({ door, report });
  const tell = (run: Parameters<Journal['send']>[0], body: Parameters<Journal['send']>[1], msgId: string) =>
    journal.send(run, body, { msgId });
  const keeper = new LimitKeeper({ journal: limits, tell, clock, telemetry });
  const sweep = new LimitSweep({ limits, runs: journal, tell, clock, telemetry });
  const stopping = new AbortController();
  const consumption: Consumption = limits.consume((delivery) => keeper.handle(delivery));
  const sweeping = (async () => {
    while (!stopping.signal.aborted) {
      await clock.sleep(sweepMs, stopping.signal).catch(() => undefined);
      if (!stopping.signal.aborted) await sweep.sweep();
    }
  })();
  return {
    get bound() {
      return consumption.bound ?? true;
    },
    async stop() {
      stopping.abort();
      await consumption.stop();
      await sweeping;
      limits.close();
    },
  };
}
