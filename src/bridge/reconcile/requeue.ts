/**
 * The one place that decides whether and when a key is looked at again.
 *
 * Both queues run every job through {@link Requeue.run}; neither has retries of its own. Failures are counted per key in
 * this process only: another process that takes over starts with short waits, which costs a look and nothing else.
 */
import type { Outcome, ReconcileKey } from '../../engine/index.ts';
import { type BackoffPolicy, backoffMs, isMillraceError, messageOf, unreachable } from '../../kernel/index.ts';
import type { Telemetry, TraceHeaders } from '../../telemetry/index.ts';
import { keyText } from '../key.ts';

export type Handler = (key: ReconcileKey, trace?: TraceHeaders) => Promise<Outcome>;

const BACKOFF: BackoffPolicy = { initialMs: 500, factor: 2, maxMs: 30_000, jitter: 0.3 };
/** Whatever the handler asks for: not a busy loop, not a job that outlives its reason. */
const SHORTEST_MS = 50;
const LONGEST_MS = 60_000;
/** More keys than this waiting with failures means that Prefect is away; counts may be forgotten. */
const KEYS_LIMIT = 20_000;

export class Requeue {
  readonly #failures = new Map<string, number>();
  readonly #telemetry: Telemetry;
  readonly #backoff: BackoffPolicy;

  constructor(telemetry: Telemetry, backoff: BackoffPolicy = BACKOFF) {
    this.#telemetry = telemetry;
    this.#backoff = backoff;
  }

  /** Runs the handler; gives the ms after which the key must be looked at again, or undefined for never. */
  async run(handler: Handler, key: ReconcileKey, trace: TraceHeaders | undefined): Promise<number | undefined> {
    return this.delayOf(key, await outcomeOf(handler, key, trace));
  }

  /** The switch. */
  delayOf(key: ReconcileKey, outcome: Outcome): number | undefined {
    const { metrics, log } = this.#telemetry;
    metrics.count('millrace_reconcile_total', { outcome: outcome.kind });
    const text = keyText(key);
    switch (outcome.kind) {
      case 'done':
        this.#failures.delete(text);
        return undefined;
      case 'after':
        this.#failures.delete(text);
        return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, outcome.ms));
      case 'retry': {
        const failures = (this.#failures.get(text) ?? 0) + 1;
        if (this.#failures.size >= KEYS_LIMIT) this.#failures.clear();
        this.#failures.set(text, failures);
        const delay = backoffMs(this.#backoff, failures, text);
        log.warn({ ...key, reason: outcome.reason, failures, retryMs: delay }, 'reconciling failed, trying again');
        return delay;
      }
      case 'terminal':
        this.#failures.delete(text);
        log.error({ ...key, reason: outcome.reason }, 'reconciling cannot go on');
        return undefined;
      default:
        return unreachable(outcome);
    }
  }
}

async function outcomeOf(handler: Handler, key: ReconcileKey, trace: TraceHeaders | undefined): Promise<Outcome> {
  try {
    return await handler(key, trace);
  } catch (error) {
    // Errors say by their class what comes next; one without a class is a bug, and the sweep brings the key back.
    if (isMillraceError(error) && error.next === 'terminal') {
      return { kind: 'terminal', reason: `${error.code} ${error.message}` };
    }
    return { kind: 'retry', reason: isMillraceError(error) ? `${error.code} ${error.message}` : messageOf(error) };
  }
}
