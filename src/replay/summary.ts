/** One line per run, projected from its log entry by entry without keeping payloads: what a listing needs. Pure. */
import { itemAt, type RunRef, type RunStatus, type StoredEntry, type Transition } from '../engine/index.ts';

export interface RunSummary extends RunRef {
  readonly status: RunStatus;
  readonly digest: string;
  /** Durable functions: the version of the code that executes it, or did last. */
  readonly version?: string;
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** Time of the latest entry. */
  readonly updatedAt: number;
  /** Where the message that started it is stored: `<stream>#<sequence>`. */
  readonly origin?: string;
  readonly by?: string;
  readonly stepsCompleted: number;
  readonly stepsSkipped: number;
  /** Steps begun and not ended, by name. */
  readonly open: readonly string[];
  /** Steps that wait for a person, by name; left out when there are none. */
  readonly paused?: readonly string[];
  /** It is to end so: attempts that are out have their grace time, then compensations run. */
  readonly closing?: 'failed' | 'cancelled';
  /** Attempts that failed or were lost. */
  readonly failures: number;
  /** How often it was retried by hand. */
  readonly retries: number;
  readonly failedStep?: string;
  /** Code and message of the failure, or the reason of the cancel. */
  readonly error?: { readonly code: string; readonly message: string };
  readonly lastEntry: number;
  /** Steps over lists: their items are not counted as steps. */
  readonly overLists?: readonly string[];
}

function empty(run: RunRef, at: number): RunSummary {
  return {
    ...run,
    status: 'new',
    digest: '',
    updatedAt: at,
    stepsCompleted: 0,
    stepsSkipped: 0,
    open: [],
    failures: 0,
    retries: 0,
    lastEntry: 0,
  };
}

const opened = (s: RunSummary, step: string): RunSummary =>
  s.open.includes(step) ? s : { ...s, open: [...s.open, step] };
const closed = (s: RunSummary, step: string): RunSummary =>
  resumed({ ...s, open: s.open.filter((name) => name !== step) }, step);

function resumed(s: RunSummary, step: string): RunSummary {
  if (s.paused === undefined) return s;
  const { paused: before, ...rest } = s;
  const paused = before.filter((name) => name !== step);
  return paused.length === 0 ? rest : { ...rest, paused };
}

function ended(s: RunSummary, status: RunStatus, at: number, error?: RunSummary['error'], step?: string): RunSummary {
  const { paused: _paused, closing: _closing, ...rest } = s;
  return {
    ...rest,
    status,
    endedAt: at,
    open: [],
    ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
    ...(step === undefined ? {} : { failedStep: step }),
  };
}

function retried(s: RunSummary): RunSummary {
  const { endedAt: _ended, error: _error, failedStep: _step, ...rest } = s;
  return { ...rest, status: 'running', retries: s.retries + 1 };
}

function isItem({ overLists }: RunSummary, t: Transition): boolean {
  if (overLists === undefined || !('step' in t) || t.step === undefined || t.type === 'RunFailed') return false;
  const item = itemAt(t.step);
  return item !== undefined && overLists.includes(item.step);
}

function apply(s: RunSummary, t: Transition, at: number): RunSummary {
  if (isItem(s, t)) return s;
  switch (t.type) {
    case 'RunStarted':
      return {
        ...s,
        status: 'running',
        digest: t.digest,
        ...(t.version === undefined ? {} : { version: t.version }),
        startedAt: at,
        ...(t.source === undefined ? {} : { origin: `${t.source.stream}#${t.source.sequence}` }),
        ...(t.by === undefined ? {} : { by: t.by }),
      };
    case 'StepScheduled':
    case 'SleepStarted':
    case 'SignalAwaited':
      return opened(s, t.step);
    case 'RunMoved':
      return { ...s, digest: t.digest };
    case 'RunClaimed':
      return t.version === undefined ? s : { ...s, version: t.version };
    case 'StepFannedOut':
      return { ...opened(s, t.step), overLists: [...(s.overLists ?? []).filter((name) => name !== t.step), t.step] };
    case 'RunQueued':
      return { ...s, status: 'queued' };
    case 'RunAdmitted':
      return { ...s, status: 'running', startedAt: at };
    case 'StepRetryScheduled':
      return { ...s, failures: s.failures + 1 };
    case 'StepPaused':
      return { ...opened(s, t.step), failures: s.failures + 1, paused: [...(s.paused ?? []), t.step] };
    case 'StepResumed':
      return resumed(s, t.step);
    case 'RunClosing':
      return { ...s, closing: t.outcome };
    case 'StepCompleted':
      return closed({ ...s, stepsCompleted: s.stepsCompleted + 1 }, t.step);
    case 'StepFailed':
      return closed({ ...s, failures: s.failures + 1 }, t.step);
    case 'StepSkipped':
      return { ...s, stepsSkipped: s.stepsSkipped + 1 };
    case 'StepCancelled':
      return closed(s, t.step);
    case 'RunCompleted':
      return ended(s, 'completed', at);
    case 'RunFailed':
      return ended(s, 'failed', at, t.error, t.step);
    case 'RunCancelled':
      return ended(s, 'cancelled', at, { code: 'MR_CANCELLED', message: t.reason });
    case 'RunRetried':
      return retried(s);
    default:
      return s;
  }
}

/** The summary after one more entry. */
export function summarize(before: RunSummary | undefined, run: RunRef, entry: StoredEntry): RunSummary {
  const start = before ?? empty(run, entry.at);
  const after = entry.transitions.reduce((s, t) => apply(s, t, entry.at), start);
  return { ...after, updatedAt: entry.at, lastEntry: entry.seq };
}

/** What of the listing is wanted. */
export interface RunFilter {
  readonly status?: RunStatus | undefined;
  /** Only runs with a step that waits for a person. */
  readonly paused?: boolean | undefined;
  readonly limit?: number | undefined;
}

/** Newest start first. */
export function selectRuns(all: Iterable<RunSummary>, filter: RunFilter = {}): readonly RunSummary[] {
  const wanted = [...all].filter(
    (run) =>
      (filter.status === undefined || run.status === filter.status) &&
      (filter.paused !== true || run.paused !== undefined),
  );
  wanted.sort((a, b) => (b.startedAt ?? b.updatedAt) - (a.startedAt ?? a.updatedAt) || b.lastEntry - a.lastEntry);
  return filter.limit === undefined ? wanted : wanted.slice(0, filter.limit);
}
