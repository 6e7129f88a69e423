/**
 * What an execution does when it is not alone with its log: it reads what others wrote, takes it in, or lets the run go.
 * Boundary: reads the log and nothing else. F7 is here.
 */
import type { RunEnding, StoredEntry, Transition } from '../engine/index.ts';
import { MillraceError } from '../kernel/index.ts';
import type { Runtime } from './runtime.ts';

const MAX_CONFLICTS = 100;
const CLAIMS_AND_ENDS: ReadonlySet<Transition['type']> = new Set([
  'RunStarted',
  'RunClaimed',
  'RunCompleted',
  'RunFailed',
  'RunCancelled',
]);

const RECORDS: ReadonlySet<Transition['type']> = new Set(['SignalReceived', 'TimerFired', 'StepResumed', 'ChildEnded']);

export class Fence {
  readonly #execution: Runtime;
  #conflicts = 0;
  /** Others' entries up to this sequence have been taken in. */
  #readTo = 0;

  constructor(execution: Runtime) {
    this.#execution = execution;
  }

  stored(): void {
    this.#conflicts = 0;
  }

  /** An append was refused: the log has more than we know. */
  async conflict(): Promise<void> {
    const execution = this.#execution;
    try {
      if (++this.#conflicts > MAX_CONFLICTS) throw collision(`${MAX_CONFLICTS} collisions in a row`);
      const entries = await execution.ports.entries(execution.run, execution.tail.lastEntry);
      if (execution.isOver) return;
      const last = this.#readOn(entries);
      if (!execution.isOver) execution.tail.again(last);
    } catch (error) {
      execution.failed(error);
    }
  }

  /** Another process says that it wrote something for us. */
  async look(): Promise<void> {
    const execution = this.#execution;
    const { tail } = execution;
    if (execution.isOver || tail.isAppending) return; // the append will find it
    const before = tail.lastEntry;
    try {
      const entries = await execution.ports.entries(execution.run, execution.tail.lastEntry);
      // What we have appended since may be among them, and would be taken for another's.
      if (execution.isOver || tail.isAppending || tail.lastEntry !== before) return;
      const last = this.#readOn(entries);
      if (!execution.isOver) tail.lastEntry = last;
    } catch {
      // Only a hint: the next append finds what this could not.
    }
  }

  /** Takes in what others wrote behind our last entry; gives the sequence of the log's end. */
  #readOn(entries: readonly StoredEntry[]): number {
    const execution = this.#execution;
    const after = execution.tail.lastEntry;
    const newer = entries.filter(({ seq }) => seq > after && seq > this.#readTo);
    const foreign = newer.find(isForeign);
    if (foreign !== undefined) execution.abandon({ by: foreign });
    else if (newer.some((entry) => !isRecordOf(entry) || execution.tail.clashes(entry))) {
      execution.abandon({ error: collision('another process wrote into the log while this one read it') });
    } else for (const entry of newer) this.#takeIn(entry);
    return Math.max(after, this.#readTo);
  }

  #childEnded(step: string, runId: string, ending: RunEnding): void {
    const execution = this.#execution;
    if (!execution.children.awaits(step, runId)) return;
    execution.wake(true);
    execution.children.ended(step, ending);
  }

  #takeIn({ seq, transitions }: StoredEntry): void {
    this.#readTo = seq;
    const { waits } = this.#execution;
    for (const t of transitions) {
      if (t.type === 'SignalReceived') {
        if (waits.awaits(t.name)) this.#execution.wake(true);
        waits.signal(t.name, t.payload);
      } else if (t.type === 'TimerFired' && waits.isSet(t.timer)) {
        this.#execution.wake(true);
        waits.fired(t.timer);
      } else if (t.type === 'StepResumed') {
        this.#execution.wake(true);
        this.#execution.pauses.resumed(t.step);
      } else if (t.type === 'ChildEnded') this.#childEnded(t.step, t.runId, t.ending);
    }
  }
}

/** F7. Not even a claim of the same worker is ours: its execution was another one. */
function isForeign({ transitions }: StoredEntry): boolean {
  return transitions.some(({ type }) => CLAIMS_AND_ENDS.has(type));
}

/** What hosts record for whoever executes the run. Anything else was written by an execution that knows more than we do. */
function isRecordOf({ transitions }: StoredEntry): boolean {
  return transitions.every(({ type }) => RECORDS.has(type));
}

function collision(message: string): MillraceError {
  return new MillraceError('MR_CONFLICT', message, { hint: 'the run is read anew; nothing is lost' });
}
