/**
 * Orderly end of a process: SIGTERM or SIGINT runs the closers one after another, within a deadline; a second signal
 * exits at once.
 */
import { messageOf } from '../kernel/index.ts';

export interface Closer {
  readonly name: string;
  close(): Promise<void>;
}

export interface ShutdownOptions {
  /** Milliseconds for all closers together; 20,000 by default. */
  readonly deadlineMs?: number;
  /** Told of every step, for the log. */
  readonly report?: (message: string, error?: unknown) => void;
  /** Injected by tests. */
  readonly exit?: (code: number) => void;
}

export interface Shutdown {
  /** Closers run in the reverse order of registration: what was opened last closes first. */
  onClose(name: string, close: () => Promise<void>): void;
  /** Starts the end from within; the signals do the same. Resolves with the exit code. */
  begin(reason: string): Promise<number>;
  /** Aborts when the end begins. */
  readonly signal: AbortSignal;
}

/** Exit code when closers failed or the deadline passed. */
const UNCLEAN = 1;

/** Installs the signal handlers. */
export function installShutdown(options: ShutdownOptions = {}): Shutdown {
  const { deadlineMs = 20_000, report = () => undefined, exit = (code: number) => process.exit(code) } = options;
  const closers: Closer[] = [];
  const controller = new AbortController();
  let ending: Promise<number> | undefined;

  const begin = (reason: string): Promise<number> => {
    ending ??= (async () => {
      report(`stopping: ${reason}`);
      controller.abort(new Error(reason));
      return closeAll(closers, deadlineMs, report);
    })();
    return ending;
  };

  const onSignal = (name: NodeJS.Signals): void => {
    if (ending !== undefined) {
      report(`${name} again: exiting at once`);
      return exit(UNCLEAN);
    }
    void begin(name).then(exit);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return {
    onClose: (name, close) => void closers.push({ name, close }),
    begin,
    signal: controller.signal,
  };
}

async function closeAll(
  closers: readonly Closer[],
  deadlineMs: number,
  report: (message: string, error?: unknown) => void,
): Promise<number> {
  const until = Date.now() + deadlineMs;
  let code = 0;
  for (const { name, close } of [...closers].reverse()) {
    const left = until - Date.now();
    try {
      await within(close(), left);
      report(`closed ${name}`);
    } catch (error) {
      code = UNCLEAN;
      report(`${name} did not close: ${messageOf(error)}`, error);
    }
  }
  return code;
}

function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the deadline has passed')), Math.max(0, ms));
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
