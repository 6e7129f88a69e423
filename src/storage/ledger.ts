/**
 * What the janitor knows of a workflow's runs from reading its stream in order: which may go, and how far the stream's beginning is free.
 *
 * Job: keep one small record per run that was seen and may not go yet. Boundary: pure; it is fed messages and asked. It is rebuilt
 * by reading the stream from its beginning, so nothing of it is ever stored.
 *   Y1 a run that has started and not ended, or was retried by hand since, is never given out as due;
 *   Y2 below the floor of a plan lies nothing of any run that stays: not of an open one, a pinned one, one kept for ever or one kept longer.
 */
import type { RetentionPolicy, Transition } from '../engine/index.ts';

export type Ended = 'completed' | 'failed' | 'cancelled';

/** One message of the stream, as far as retention cares. */
export interface SeenMessage {
  readonly seq: number;
  /** When the server stored it, ms since the epoch. */
  readonly at: number;
  readonly runId: string;
  readonly bytes: number;
  /** What it says of the run's life; only log entries say anything. */
  readonly log?: RunMark;
  /** Objects it refers to. */
  readonly objects?: readonly string[];
}

export interface RunMark {
  readonly started: boolean;
  /** `open`: it was ended and is not any more. Absent: nothing about its end. */
  readonly end?: Ended | 'open';
}

/** What a log entry's transitions say of the run's life. */
export function markOf(transitions: readonly Transition[]): RunMark {
  let started = false;
  let end: RunMark['end'];
  for (const { type } of transitions) {
    if (type === 'RunStarted') started = true;
    else if (type === 'RunCompleted') end = 'completed';
    else if (type === 'RunFailed') end = 'failed';
    else if (type === 'RunCancelled') end = 'cancelled';
    else if (type === 'RunRetried') end = 'open';
  }
  return end === undefined ? { started } : { started, end };
}

/** A run that was seen. */
export interface TrackedRun {
  readonly runId: string;
  /** Its first message that was seen. */
  readonly first: number;
  readonly last: number;
  readonly lastAt: number;
  /** Its last log entry; 0 while it has none. */
  readonly lastLog: number;
  readonly bytes: number;
  readonly started: boolean;
  readonly ended: { readonly status: Ended; readonly due: number } | undefined;
  readonly objects: readonly string[];
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** How due runs are taken away. */
export interface PurgePlan {
  /** Everything below this sequence goes, in one piece; 0: nothing. */
  readonly floor: number;
  /** Runs that lie wholly below the floor. */
  readonly covered: readonly TrackedRun[];
  /** Runs that go one by one, since something that stays lies before them. */
  readonly single: readonly TrackedRun[];
}

/** When a run that ended so at `at` may go; undefined: never. */
export function dueAt(policy: RetentionPolicy, status: Ended, at: number): number | undefined {
  const age = ageOf(policy, status);
  return age === undefined ? undefined : at + age;
}

function ageOf(policy: RetentionPolicy, status: Ended): number | undefined {
  if (status === 'completed') return policy.completedMs;
  return status === 'failed' ? policy.failedMs : policy.cancelledMs;
}

/** The shortest and the longest age of the policy in ms; undefined when nothing of it has one. */
export function agesOf(policy: RetentionPolicy): { readonly shortest: number; readonly longest: number } | undefined {
  const ages = [policy.completedMs, policy.failedMs, policy.cancelledMs].filter((age) => age !== undefined);
  return ages.length === 0 ? undefined : { shortest: Math.min(...ages), longest: Math.max(...ages) };
}

/** Ended runs of one status, in the order in which they become due. */
class DueQueue {
  readonly #items: { readonly run: TrackedRun; readonly ended: TrackedRun['ended'] }[] = [];
  #head = 0;

  push(run: TrackedRun): void {
    this.#items.push({ run, ended: run.ended });
  }

  /** Takes out what is due; what has been retried or has gone since is left out. */
  take(now: number, into: TrackedRun[], most: number): void {
    while (this.#head < this.#items.length && into.length < most) {
      const item = this.#items[this.#head];
      if (item === undefined || (item.ended?.due ?? 0) > now) break;
      this.#head++;
      if (item.run.ended === item.ended) into.push(item.run);
    }
    if (this.#head < 1_024 || this.#head * 2 < this.#items.length) return;
    this.#items.splice(0, this.#head);
    this.#head = 0;
  }
}

export class RunLedger {
  readonly #policy: RetentionPolicy;
  readonly #longest: number;
  /** In the order of their first messages. */
  readonly #runs = new Map<string, Writable<TrackedRun>>();
  readonly #queues: Readonly<Record<Ended, DueQueue>> = {
    completed: new DueQueue(),
    failed: new DueQueue(),
    cancelled: new DueQueue(),
  };
  /** No start of them was seen: late messages of runs that are gone, signals nobody followed with a start. */
  readonly #unstarted = new Map<string, TrackedRun>();
  /** Due, and not gone: pinned, or given back. The time before which they are not looked at again. */
  readonly #waiting = new Map<string, { readonly run: TrackedRun; readonly from: number }>();
  /** First message of any run that is kept for ever. */
  #keptFrom = Number.POSITIVE_INFINITY;
  #seen = 0;

  constructor(policy: RetentionPolicy) {
    this.#policy = policy;
    this.#longest = agesOf(policy)?.longest ?? Number.POSITIVE_INFINITY;
  }

  /** Runs it has a record of. */
  get size(): number {
    return this.#runs.size;
  }

  /** Sequence of the last message it was told of. */
  get seen(): number {
    return this.#seen;
  }

  /** Takes the stream's next message. */
  see({ seq, at, runId, bytes, log, objects }: SeenMessage): void {
    this.#seen = seq;
    const run = this.#runs.get(runId) ?? this.#begin(runId, seq);
    run.last = seq;
    run.lastAt = at;
    if (!run.started) this.#waiting.delete(runId);
    run.bytes += bytes;
    if (objects !== undefined) run.objects = [...run.objects, ...objects];
    if (log === undefined) return;
    run.lastLog = seq;
    if (log.started || log.end !== undefined) {
      run.started = true;
      this.#unstarted.delete(runId);
    }
    if (log.end !== undefined) this.#end(run, log.end, at);
  }

  #begin(runId: string, seq: number): Writable<TrackedRun> {
    const run = {
      ...{ runId, first: seq, last: seq, lastAt: 0, lastLog: 0, bytes: 0, started: false },
      ...{ ended: undefined, objects: [] },
    };
    this.#runs.set(runId, run);
    this.#unstarted.set(runId, run);
    return run;
  }

  #end(run: Writable<TrackedRun>, end: Ended | 'open', at: number): void {
    run.ended = undefined;
    this.#waiting.delete(run.runId);
    if (end === 'open') return;
    const due = dueAt(this.#policy, end, at);
    if (due === undefined) return this.keep(run);
    run.ended = { status: end, due };
    this.#queues[end].push(run);
  }

  /** It stays for ever: nothing need be known of it but where it begins. */
  keep(run: TrackedRun): void {
    this.#keptFrom = Math.min(this.#keptFrom, run.first);
    this.forget([run]);
  }

  /**
   * Runs whose time has come, at most `most`, those that have waited longest first. They are the caller's now: it forgets,
   * or gives back each of them.
   */
  due(now: number, isPinned: (runId: string) => boolean, most: number): readonly TrackedRun[] {
    const found: TrackedRun[] = [];
    for (const [runId, { run, from }] of this.#waiting) {
      if (from > now) continue;
      found.push(run);
      this.#waiting.delete(runId);
    }
    for (const queue of Object.values(this.#queues)) queue.take(now, found, most);
    for (const run of this.#unstarted.values()) {
      if (found.length < most && !this.#waiting.has(run.runId) && run.lastAt + this.#longest <= now) found.push(run);
    }
    const due: TrackedRun[] = [];
    for (const run of found) {
      if (isPinned(run.runId) || due.length >= most) this.giveBack([run]);
      else due.push(run);
    }
    return due.sort((a, b) => (a.ended?.due ?? 0) - (b.ended?.due ?? 0));
  }

  /** They are not gone; they are given out again, no sooner than `from`, unless they go on meanwhile. */
  giveBack(runs: readonly TrackedRun[], from = 0): void {
    for (const run of runs) this.#waiting.set(run.runId, { run, from });
  }

  /** They are gone. */
  forget(runs: readonly TrackedRun[]): void {
    for (const { runId } of runs) {
      const own = this.#runs.get(runId);
      if (own !== undefined) own.ended = undefined; // what a queue still has of it is stale
      this.#runs.delete(runId);
      this.#unstarted.delete(runId);
      this.#waiting.delete(runId);
    }
  }

  /** Y2. */
  plan(due: readonly TrackedRun[]): PurgePlan {
    const going = new Set(due.map(({ runId }) => runId));
    let floor = this.#seen + 1;
    for (const run of this.#runs.values()) {
      if (going.has(run.runId)) continue;
      floor = run.first;
      break;
    }
    floor = Math.min(floor, this.#keptFrom);
    const covered = due.filter(({ last }) => last < floor);
    return {
      floor: covered.length === 0 ? 0 : floor,
      covered,
      single: due.filter(({ last }) => last >= floor),
    };
  }
}
