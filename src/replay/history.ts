/** A run's log as a history to read, and its state at any point of it. Pure. */
import {
  fold,
  type InputBody,
  type RunRef,
  type RunState,
  type StoredEntry,
  type Transition,
} from '../engine/index.ts';
import { formatDuration, unreachable } from '../kernel/index.ts';

/** One transition with its time and its cause. */
export interface HistoryLine {
  /** Sequence of the log entry. */
  readonly seq: number;
  readonly at: number;
  /** Sequence of the input that caused it. */
  readonly cause: number;
  /** What that input was: `start`, `task.succeeded`, ... as far as it can still be read. */
  readonly causeKind?: string;
  readonly transition: Transition;
  /** A sentence for people. */
  readonly text: string;
}

const attempt = (t: { readonly step: string; readonly attempt: number }): string =>
  t.attempt === 1 ? t.step : `${t.step} (attempt ${t.attempt})`;

function stepText(t: Transition, at: number): string {
  switch (t.type) {
    case 'StepScheduled':
      return `${attempt(t)} handed out`;
    case 'StepStarted':
      return `${attempt(t)} begun by ${t.worker}`;
    case 'FlowStateChanged':
      return `${attempt(t)}: flow run ${t.flowRunId} is ${t.state.name} (told by ${t.source})`;
    case 'StepRetryScheduled':
      return `${attempt(t)} failed: ${t.error.message}; next attempt in ${formatDuration(t.retryAt - at)}`;
    case 'StepCompleted':
      return `${attempt(t)} completed`;
    case 'StepFailed':
      return `${attempt(t)} failed for good: ${t.error.message}`;
    case 'StepSkipped':
      return `${t.step} skipped: ${t.reason}`;
    case 'StepCancelled':
      return `${attempt(t)} cancelled: ${t.reason}`;
    case 'SleepStarted':
      return `${attempt(t)} sleeps`;
    case 'SignalAwaited':
      return `${attempt(t)} waits for signal ${t.name}`;
    default:
      return t.type;
  }
}

/** The transition as a sentence. */
export function transitionText(t: Transition, at: number): string {
  switch (t.type) {
    case 'RunStarted':
      return t.source === undefined
        ? `run started${t.by === undefined ? '' : ` by ${t.by}`}`
        : `run started by ${t.source.subject} (${t.source.stream}#${t.source.sequence}, trigger ${t.source.trigger})`;
    case 'TimerSet':
      return `timer ${t.timer} set, due in ${formatDuration(t.at - at)}`;
    case 'TimerFired':
      return `timer ${t.timer} fired`;
    case 'TimerCancelled':
      return `timer ${t.timer} cancelled`;
    case 'SignalReceived':
      return `signal ${t.name} received${t.by === undefined ? '' : ` from ${t.by}`}`;
    case 'SignalConsumed':
      return `signal ${t.name} taken by ${t.step}`;
    case 'RunClaimed':
      return `taken over by ${t.worker}`;
    case 'RunSuspended':
      return 'waits; nothing of it executes';
    case 'RunCompleted':
      return 'run completed';
    case 'RunFailed':
      return `run failed: ${t.error.message} (${t.error.code})`;
    case 'RunCancelled':
      return `run cancelled${t.by === undefined ? '' : ` by ${t.by}`}: ${t.reason}`;
    case 'RunRetried':
      return `run retried${t.by === undefined ? '' : ` by ${t.by}`}: ${t.steps.join(', ') || 'no step'}`;
    case 'StepScheduled':
    case 'StepStarted':
    case 'FlowStateChanged':
    case 'StepRetryScheduled':
    case 'StepCompleted':
    case 'StepFailed':
    case 'StepSkipped':
    case 'StepCancelled':
    case 'SleepStarted':
    case 'SignalAwaited':
      return stepText(t, at);
    default:
      return unreachable(t);
  }
}

/** Every transition of the log, oldest first. `kinds` tells what the inputs were. */
export function historyOf(
  entries: readonly StoredEntry[],
  kinds: ReadonlyMap<number, InputBody['kind']> = new Map(),
): readonly HistoryLine[] {
  return entries.flatMap(({ seq, at, cause, transitions }) => {
    const kind = kinds.get(cause);
    return transitions.map((transition) => ({
      seq,
      at,
      cause,
      ...(kind === undefined ? {} : { causeKind: kind }),
      transition,
      text: transitionText(transition, at),
    }));
  });
}

/** The state after the last entry whose sequence is at or below `seq`. */
export function stateAt(run: RunRef, entries: readonly StoredEntry[], seq: number): RunState {
  return fold(
    run.workflow,
    run.runId,
    entries.filter((entry) => entry.seq <= seq),
  );
}
