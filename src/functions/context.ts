/** The context that a durable function gets: a thin face of its execution. */
import { derivedFraction, type Json, MillraceError, shortHash } from '../kernel/index.ts';
import type { Logger } from '../telemetry/index.ts';
import { callStep, type Step } from '../worker/index.ts';
import { type MapTarget, runMap } from './map.ts';
import type { Named, Runtime } from './runtime.ts';
import { NO_OPTIONS, runStep } from './steps.ts';
import type {
  ChildOptions,
  Context,
  MapOptions,
  SignalOptions,
  SignalSchemas,
  StepAttempt,
  StepOptions,
} from './types.ts';

export function createContext(execution: Runtime): Context {
  return new ExecutionContext(execution);
}

class ExecutionContext implements Context {
  readonly #execution: Runtime;
  readonly workflow: string;
  readonly runId: string;
  #drawn = 0;
  #log: Logger | undefined;

  constructor(execution: Runtime) {
    this.#execution = execution;
    this.workflow = execution.run.workflow;
    this.runId = execution.run.runId;
  }

  step<T>(
    step: string | Step,
    run: ((attempt: StepAttempt) => T | PromiseLike<T>) | unknown,
    options?: StepOptions,
  ): Promise<T> {
    if (typeof step !== 'string') return this.#call(step, run, options) as Promise<T>;
    return runStep(this.#execution, step, run as (attempt: StepAttempt) => T, options ?? NO_OPTIONS);
  }

  #call(step: Step, input: unknown, options: StepOptions = NO_OPTIONS): Promise<unknown> {
    const { workflow, runId } = this;
    const run = (at: StepAttempt): Promise<unknown> => {
      const { attempt, idempotencyKey, signal, progress } = at;
      const known = { workflow, runId, step: step.name, attempt, idempotencyKey, signal, log: this.log };
      return callStep(step, input, { ...known, progress, heartbeat: (details) => at.heartbeat(details) });
    };
    return runStep(this.#execution, step.name, Object.assign(run, { input }), options);
  }

  async sleep(ms: number, name = 'sleep'): Promise<void> {
    return this.#execution.waits.sleep(ms, name);
  }

  async signal<P = Json>(name: string, options: SignalOptions<P> = {}): Promise<P> {
    const payload = await this.#execution.waits.wait(name, options.timeoutMs);
    const schema = options.schema ?? declared(this.#execution.fn.signals, name);
    if (schema === undefined) return payload as P; // without a schema the type is the caller's word
    const parsed = schema.safeParse(payload);
    if (parsed.success) return parsed.data as P;
    const [issue] = parsed.error.issues;
    throw new MillraceError(
      'MR_INPUT_INVALID',
      `signal "${name}": ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
      {
        hint: 'send the signal again with a payload that fits its schema',
      },
    );
  }

  run<O>(child: Named, input: unknown, options: ChildOptions = {}): Promise<O> {
    return this.#execution.children.run(child, input, options) as Promise<O>; // the child's own promise
  }

  start(child: Named, input: unknown, options: ChildOptions = {}): Promise<{ readonly runId: string }> {
    return this.#execution.children.start(child, input, options);
  }

  /** The interface has the types of its four forms. */
  map(name: string, items: readonly unknown[], each: unknown, options: MapOptions = {}): Promise<never> {
    return runMap(this.#execution, name, items, each as MapTarget, options) as Promise<never>;
  }

  now(): number {
    return this.#execution.now;
  }

  random(): number {
    return derivedFraction('random', this.runId, this.#drawn++);
  }

  uuid(): string {
    const hex = shortHash(`uuid/${this.runId}/${this.#drawn++}`, 32);
    const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
    const parts = [
      hex.slice(0, 8),
      hex.slice(8, 12),
      `4${hex.slice(13, 16)}`,
      `${variant}${hex.slice(17, 20)}`,
      hex.slice(20),
    ];
    return parts.join('-');
  }

  get log(): Logger {
    this.#log ??= quietOnReplay(this.#execution);
    return this.#log;
  }
}

function declared(signals: SignalSchemas | undefined, name: string): SignalSchemas[string] | undefined {
  return signals !== undefined && Object.hasOwn(signals, name) ? signals[name] : undefined;
}

function quietOnReplay(execution: Runtime): Logger {
  const log = execution.ports.telemetry.log.child({ workflow: execution.run.workflow, run: execution.run.runId });
  const say =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: object, message: string): void => {
      if (!execution.order.isReplaying) log[level](fields, message);
    };
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    child: () => quietOnReplay(execution),
  };
}
