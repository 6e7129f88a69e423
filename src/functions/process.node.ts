/** The process's timers and its event loop, as executions see them. */
const LONGEST_MS = 2_147_483_647;

export const processPorts = {
  now: (): number => Date.now(),
  after(ms: number, then: () => void): () => void {
    const timer = setTimeout(then, Math.min(ms, LONGEST_MS));
    return () => clearTimeout(timer);
  },
  /**
   * After all microtasks: Node empties the microtask queue before it looks at what was put off with `nextTick` from inside one,
   * so the code that follows from a promise has run by then.
   */
  defer(then: () => void): void {
    queueMicrotask(() => process.nextTick(then));
  },
} as const;
