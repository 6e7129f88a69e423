/** What watches one attempt of a step: its time, the time of all attempts, its heartbeats. */
import { MillraceError } from '../kernel/index.ts';
import type { Runtime } from './runtime.ts';

/** Times in ms; undefined where there is no limit. */
export interface Limits {
  readonly timeoutMs: number | undefined;
  readonly heartbeatMs: number | undefined;
  /** What is left of the time of all attempts, and the whole of it. */
  readonly leftMs: number | undefined;
  readonly maxElapsedMs: number | undefined;
}

export class Watch {
  readonly #execution: Runtime;
  readonly #fail: (error: MillraceError) => void;
  readonly #attempt: number;
  readonly #abort = new AbortController();
  readonly #stops: (() => void)[] = [];
  #beatAt = 0;
  readonly signal: AbortSignal;

  /**
   * @param outer aborts when the run does
   * @param fail the attempt's time is over; called once at most
   */
  constructor(
    execution: Runtime,
    attempt: number,
    limits: Limits,
    outer: AbortSignal,
    fail: (error: MillraceError) => void,
  ) {
    this.#execution = execution;
    this.#attempt = attempt;
    this.#fail = fail;
    this.signal = AbortSignal.any([this.#abort.signal, outer]);
    const { timeoutMs, heartbeatMs, leftMs, maxElapsedMs } = limits;
    if (timeoutMs !== undefined) this.#after(timeoutMs, `attempt ${attempt} did not end within ${timeoutMs} ms`);
    if (leftMs !== undefined) this.#after(leftMs, `no attempt ended within the ${maxElapsedMs} ms that all may take`);
    if (heartbeatMs !== undefined) this.#await(heartbeatMs, heartbeatMs);
  }

  /** The attempt lives. */
  beat(now: number): void {
    this.#beatAt = now;
  }

  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  #after(ms: number, message: string): void {
    this.#stops.push(this.#execution.ports.after(Math.max(0, ms), () => this.#over(message)));
  }

  /** Looks when the silence would be too long, and not at every beat: there may be thousands. */
  #await(heartbeatMs: number, inMs: number): void {
    const { ports } = this.#execution;
    const stop = ports.after(inMs, () => {
      this.#stops.splice(this.#stops.indexOf(stop), 1);
      const left = this.#beatAt === 0 ? 0 : this.#beatAt + heartbeatMs - ports.now();
      if (left > 0) this.#await(heartbeatMs, left);
      else this.#over(`attempt ${this.#attempt} was silent for ${heartbeatMs} ms`);
    });
    this.#stops.push(stop);
  }

  #over(message: string): void {
    this.stop();
    const error = new MillraceError('MR_STEP_TIMEOUT', message);
    this.#abort.abort(error);
    this.#fail(error);
  }
}
