/**
 * The sweep: looks at every key of every limit, and takes back what has no right to its slot any more.
 *
 * Job: make up for what was never said (a run that was purged, a message that was lost), level-based: both sides as they are
 * now. Boundary: it only asks; the keeper decides. Any number of processes may sweep at once.
 *   W1 a slot whose run or attempt has ended, or is not there any more, is given back within two sweeps while somebody waits;
 *   W2 a slot whose holder still waits for it is told to it again;
 *   W3 a key that was idle for long is forgotten, never one of which something is open.
 */
import { fold, type InputBody, type Journal, keepsSlot, type RunRef } from '../engine/index.ts';
import { type Clock, messageOf } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { FORGET_AFTER_MS, foldLimit, type Held, isIdle, type LimitState, nameOf } from './model/index.ts';
import type { LimitJournal, LimitRef } from './port.ts';

export interface SweepPorts {
  readonly limits: LimitJournal;
  readonly runs: Pick<Journal, 'entries'>;
  readonly tell: (run: RunRef, body: InputBody, msgId: string) => Promise<unknown>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** Keys that nobody waits for are looked at in one of so many sweeps. */
const CALM_EVERY = 12;
/** A slot that was granted so lately is left alone: its holder is only about to hear of it. */
const YOUNG_MS = 2_000;
/** Keys looked at in one sweep; where there are more they take turns. */
const MOST_KEYS = 2_000;

export class LimitSweep {
  readonly #ports: SweepPorts;
  #turn = 0;

  constructor(ports: SweepPorts) {
    this.#ports = ports;
  }

  /** One sweep; what fails is left to the next. Never rejects. */
  async sweep(): Promise<void> {
    const calmToo = this.#turn++ % CALM_EVERY === 0;
    const { limits, telemetry } = this.#ports;
    const totals = new Map<string, { held: number; waiting: number }>();
    try {
      const refs = await limits.refs();
      const first = refs.length <= MOST_KEYS ? 0 : (this.#turn * MOST_KEYS) % refs.length;
      for (const ref of refs.slice(first, first + MOST_KEYS)) {
        const state = await this.#look(ref, calmToo);
        const total = totals.get(ref.limit) ?? { held: 0, waiting: 0 };
        total.held += state.held.length;
        total.waiting += state.waiting.length;
        totals.set(ref.limit, total);
      }
    } catch (error) {
      telemetry.log.warn({ err: error }, `limits not swept: ${messageOf(error)}`);
      return;
    }
    for (const [limit, { held, waiting }] of totals) {
      telemetry.metrics.gauge('millrace_limits_held', held, { limit });
      telemetry.metrics.gauge('millrace_limits_waiting', waiting, { limit });
    }
  }

  async #look(ref: LimitRef, calmToo: boolean): Promise<LimitState> {
    const { limits, clock } = this.#ports;
    const entries = await limits.entries(ref);
    const state = foldLimit(ref.limit, entries);
    const now = clock.now();
    if (calmToo || state.waiting.length > 0) {
      for (const held of state.held) if (held.grantedAt + YOUNG_MS <= now) await this.#check(ref, state, held);
    }
    const last = entries.at(-1);
    if (last !== undefined && isIdle(state, now) && last.at + FORGET_AFTER_MS <= now) await limits.forget(ref, state);
    return state;
  }

  async #check(ref: LimitRef, state: LimitState, { holder, ask, token, grantedAt }: Held): Promise<void> {
    const { runs, limits, tell, telemetry } = this.#ports;
    const { workflow, runId, step } = holder;
    const run = fold(workflow, runId, await runs.entries({ workflow, runId }));
    if (!keepsSlot(run, { step, ask })) {
      telemetry.log.warn(
        { ...ref, holder: nameOf(holder), since: grantedAt },
        'a slot is taken back: its holder is gone',
      );
      return limits.ask(
        ref,
        { v: 1, kind: 'free', holder, ask, why: 'gone' },
        `gone:${ref.limit}:${ref.token}:${token}`,
      );
    }
    const knows = step === undefined ? run.status !== 'queued' : run.steps[step]?.slot !== undefined;
    if (knows || run.slots?.some((slot) => slot.token === token) === true) return;
    const { limit, key } = state;
    const body: InputBody = { v: 1, kind: 'slot', slot: { limit, key, token }, verdict: 'granted', ask };
    await tell(
      { workflow, runId },
      step === undefined ? body : { ...body, step },
      `again:${ref.limit}:${ref.token}:${token}`,
    );
  }
}
