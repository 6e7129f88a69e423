/**
 * The log entries of a workflow as they go by on their way to the stream, seen by a plain subscription: when each run was last
 * heard of, when it came to its gate, when it ended. An append that was refused and tried again is seen twice, which changes nothing
 * here: only first times count.
 */
import type { NatsDoor } from '../../src/drivers/index.ts';
import { logsOf } from './shape.ts';

const decoder = new TextDecoder();

export interface RunWatch {
  readonly atGate: ReadonlySet<string>;
  readonly ended: ReadonlySet<string>;
  /** Runs with an entry since the last {@link mark}. */
  readonly moved: ReadonlySet<string>;
  /** Of the first entry since then; undefined when there was none. */
  readonly firstAt: number | undefined;
  /** Begins to count `moved` and `firstAt` anew. */
  mark(): void;
  /** Resolves when the condition holds; looked at after each entry. Rejects when it does not hold in time. */
  until(what: string, holds: () => boolean, deadlineMs: number): Promise<void>;
  close(): void;
}

export function watchRuns(door: NatsDoor, workflow: string): RunWatch {
  const atGate = new Set<string>();
  const ended = new Set<string>();
  const moved = new Set<string>();
  let firstAt: number | undefined;
  const checks = new Set<() => void>();
  const subscription = door.nc.subscribe(logsOf(workflow), {
    callback: (_error, msg) => {
      const runId = msg.subject.slice(msg.subject.lastIndexOf('.') + 1);
      const text = decoder.decode(msg.data);
      firstAt ??= performance.now();
      moved.add(runId);
      if (text.includes('"SignalAwaited"')) atGate.add(runId);
      if (text.includes('"RunCompleted"')) ended.add(runId);
      for (const check of checks) check();
    },
  });
  return {
    atGate,
    ended,
    moved,
    get firstAt() {
      return firstAt;
    },
    mark() {
      moved.clear();
      firstAt = undefined;
    },
    until: (what, holds, deadlineMs) =>
      new Promise((resolve, reject) => {
        const end = (): void => {
          clearTimeout(timer);
          checks.delete(check);
        };
        const check = (): void => {
          if (!holds()) return;
          end();
          resolve();
        };
        const timer = setTimeout(() => {
          end();
          const counts = `${atGate.size} at the gate, ${moved.size} moved, ${ended.size} ended`;
          reject(new Error(`not within ${deadlineMs / 1_000} s: ${what} (${counts})`));
        }, deadlineMs);
        checks.add(check);
        check();
      }),
    close: () => subscription.unsubscribe(),
  };
}
