/** The process's timers and its event loop, as executions see them. */
import { processTimers } from '../worker/index.ts';

export const processPorts = {
  now: processTimers.now,
  after: processTimers.after,
  /**
   * After all microtasks: Node empties the microtask queue before it looks at what was put off with `nextTick` from inside one,
   * so the code that follows from a promise has run by then. What many executions put off in one turn shares one such wait;
   * each of them puts off one thing at a time, so none overtakes itself.
   */
  defer(then: () => void): void {
    if (deferred.push(then) === 1) settled.then(later);
  },
} as const;

let deferred: (() => void)[] = [];
const settled = Promise.resolve();
const later = (): void => process.nextTick(runDeferred);

function runDeferred(): void {
  const due = deferred;
  deferred = [];
  for (const then of due) then();
}
