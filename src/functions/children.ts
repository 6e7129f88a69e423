/**
 * The child runs of a run.
 *
 * Job: record that a child is to be started, start it, give its end to the function, end it when its step ends without it.
 * Boundary: what goes to other runs goes through {@link Runtime.ports}' family; here is no subject and no message id.
 *
 *   F20 a child is started only when the log says so, under an id that follows from the log: starting it again is harmless;
 *   F21 whoever executes the parent rests only when every child that it waits for is known to have its start stored;
 *   F22 a child's end is taken once: by the run id that the step waits for, whoever recorded it and however often it comes.
 */
import type { ChildRef, Failure, RunEnding, RunState, StepState } from '../engine/index.ts';
import { derivedId, isMillraceError, isToken, type Json, MillraceError } from '../kernel/index.ts';
import { attemptContext } from '../telemetry/index.ts';
import { ChildError } from './errors.ts';
import { asJson, copyOf } from './json.ts';
import { openChildren, toClose } from './kin.ts';
import type { ChildStart } from './kinship.ts';
import { RUN_ENDED } from './recall.ts';
import type { ChildrenOfRun, Named, Runtime } from './runtime.ts';
import { traceOf } from './spans.ts';
import type { Abortable, ChildOptions } from './types.ts';

/** A child of a child of … is one call too many: somebody calls himself. */
const MAX_DEPTH = 50;

/** A step that waits for its child's end. */
interface Open {
  readonly id: string;
  readonly attempt: number;
  readonly child: ChildRef;
  readonly payload: Json;
  readonly since: number;
  /** undefined until the code has come to it. */
  give: ((ending: RunEnding) => void) | undefined;
  /** The end, when its turn came before the code did. */
  ending: RunEnding | undefined;
}

export class Children implements ChildrenOfRun {
  readonly #execution: Runtime;
  /** Steps that wait, by name. */
  readonly #open = new Map<string, Open>();
  /** Those that ended before the code came to them, as it may on replay. */
  readonly #early = new Map<string, Open>();
  /** Children of steps that ended without them, to be ended as their policy says. */
  readonly closing: ChildRef[] = [];

  constructor(execution: Runtime) {
    this.#execution = execution;
    const { state } = execution.recalled;
    for (const { name, status, attempt, child, scheduledAt, input = null } of Object.values(state.steps)) {
      if (status !== 'scheduled' || child === undefined) continue;
      const since = scheduledAt ?? 0;
      this.#open.set(name, { id: name, attempt, child, payload: input, since, give: undefined, ending: undefined });
    }
    // What was left while nobody may have heard of it.
    const gone = toClose(state);
    if (gone.length > 0) this.#close(gone, RUN_ENDED);
  }

  /** Steps that wait for a child. */
  get count(): number {
    return this.#open.size;
  }

  /** See {@link Context.run}. */
  run(target: Named, input: unknown, options: ChildOptions, abortable?: (control: Abortable) => void): Promise<Json> {
    return new Promise((resolve, reject) => {
      const workflow = nameOf(target);
      const id = this.#idOf('run', workflow, options);
      const known = this.#knownOf(id);
      const failed = (error: Failure | undefined, child: ChildRef | undefined): ChildError =>
        new ChildError(id, error ?? LOST, child ?? { workflow, runId: options.runId ?? '' });
      if (known?.status === 'completed') {
        return this.#execution.replay(id, () => resolve(copyOf(known.output ?? null)));
      }
      if (known?.status === 'failed') return this.#execution.replay(id, () => reject(failed(known.error, known.child)));
      if (known?.status === 'cancelled') return; // the code has lost interest in it, in every replay
      const waiting = this.#open.get(id) ?? this.#early.get(id);
      const open = waiting ?? this.#schedule(id, workflow, known, input, options, true);
      abortable?.({ abort: (reason) => this.#abort(id, reason) });
      open.give = (ending) => {
        if (ending.status === 'completed') resolve(copyOf(ending.output));
        else reject(failed(failureOfEnding(ending, open.child), open.child));
      };
      const ended = known?.ending;
      if (ended !== undefined) return void this.ended(id, ended);
      if (this.#early.delete(id)) return open.ending === undefined ? undefined : open.give(open.ending);
      if (waiting === undefined || this.#execution.recalled.started?.has(id) !== true) this.#start(open, () => {});
    });
  }

  /** See {@link Context.start}. */
  start(target: Named, input: unknown, options: ChildOptions): Promise<{ readonly runId: string }> {
    return new Promise((resolve, reject) => {
      const workflow = nameOf(target);
      const id = this.#idOf('start', workflow, options);
      const known = this.#knownOf(id);
      if (known?.status === 'completed') {
        const runId = known.child?.runId ?? '';
        return this.#execution.replay(id, () => resolve({ runId }));
      }
      if (known?.status === 'failed') {
        const child = known.child ?? { workflow, runId: '' };
        return this.#execution.replay(id, () => reject(new ChildError(id, known.error ?? LOST, child)));
      }
      const open = this.#schedule(id, workflow, known, input, options, false);
      open.give = (ending) => {
        if (ending.status === 'completed') resolve({ runId: open.child.runId });
        else reject(new ChildError(id, failureOfEnding(ending, open.child), open.child));
      };
      this.#start(open, () => this.ended(id, { status: 'completed', output: { runId: open.child.runId } }));
    });
  }

  #idOf(verb: string, workflow: string, { name, runId }: ChildOptions): string {
    if (!isToken(workflow)) throw usage(`"${workflow}" cannot name a workflow`);
    if (name !== undefined && !isToken(name)) throw usage(`"${name}" cannot name a child's step`);
    if (runId !== undefined && !isToken(runId)) throw usage(`"${runId}" cannot be a run id`);
    return this.#execution.idOf(name ?? `${verb}:${workflow}`);
  }

  #knownOf(id: string): StepState | undefined {
    const { steps } = this.#execution.recalled.state;
    return Object.hasOwn(steps, id) ? steps[id] : undefined;
  }

  /** The step as the log has it, or will. */
  #schedule(
    id: string,
    workflow: string,
    known: StepState | undefined,
    input: unknown,
    { runId, onClose = 'cancel' }: ChildOptions,
    wait: boolean,
  ): Open {
    const execution = this.#execution;
    const since = known?.scheduledAt ?? execution.ports.now();
    let open: Open;
    if (known?.status === 'scheduled' && known.child !== undefined) {
      const { attempt, child, input: payload = null } = known;
      open = { id, attempt, child, payload, since, give: undefined, ending: undefined };
    } else {
      const payload = asJson(input, `the input of child ${workflow}`);
      const attempt = (known?.attempt ?? 0) + 1;
      const child: ChildRef = { workflow, runId: runId ?? this.#derived(id, attempt), onClose, wait };
      execution.push({ type: 'StepScheduled', step: id, attempt, input: payload, child });
      open = { id, attempt, child, payload, since, give: undefined, ending: undefined };
    }
    this.#open.set(id, open);
    return open;
  }

  #derived(id: string, attempt: number): string {
    const { run, generation } = this.#execution;
    return derivedId('child', run.workflow, run.runId, generation, id, attempt);
  }

  /** F20, F21: the run does not rest before the start is stored. */
  #start(open: Open, then: () => void): void {
    const execution = this.#execution;
    execution.enter();
    const begin = async (): Promise<void> => {
      try {
        if (execution.isOver || this.#open.get(open.id) !== open) return;
        await execution.ports.family.start(this.#startOf(open));
        if (!execution.isOver && this.#open.get(open.id) === open) then();
      } catch (error) {
        if (execution.isOver) return;
        if (!isMillraceError(error) || error.next !== 'terminal') return execution.abandon({ error });
        const { code, message, hint } = error;
        const failure: Failure = {
          code,
          message,
          retryable: false,
          lost: false,
          ...(hint === undefined ? {} : { hint }),
        };
        this.ended(open.id, { status: 'failed', error: failure });
      } finally {
        execution.leave();
      }
    };
    execution.effect({ begin: () => void begin() });
  }

  #startOf({ id, attempt, child, payload }: Open): ChildStart {
    const { run, origin } = this.#execution;
    const depth = (origin.parent === undefined ? 0 : (origin.parent.depth ?? 1)) + 1;
    if (depth > MAX_DEPTH) {
      throw new MillraceError(
        'MR_USAGE',
        `run ${run.runId} of ${run.workflow} is ${MAX_DEPTH} levels below the topmost`,
        {
          hint: `a run may have ${MAX_DEPTH} ancestors; does a workflow call itself for ever?`,
        },
      );
    }
    return {
      run: { workflow: child.workflow, runId: child.runId },
      own: child.runId === this.#derived(id, attempt),
      payload,
      parent: {
        ...run,
        step: id,
        attempt,
        ...(depth > 1 ? { depth } : {}),
        ...(child.wait ? {} : { detached: true as const }),
      },
      trace: attemptContext(traceOf(run.runId, origin.trace), run.runId, id, attempt),
    };
  }

  /** F22. */
  awaits(step: string, runId: string): boolean {
    return this.#open.get(step)?.child.runId === runId;
  }

  /** The child's end is known: the step's result goes into the log, and to the code in its turn. */
  ended(step: string, ending: RunEnding) {
    const open = this.#open.get(step);
    if (open === undefined) return undefined;
    this.#open.delete(step);
    if (open.give === undefined) this.#early.set(step, open);
    const execution = this.#execution;
    const { attempt, child } = open;
    const batch = execution.push(
      ending.status === 'completed'
        ? { type: 'StepCompleted', step, attempt, output: ending.output }
        : { type: 'StepFailed', step, attempt, error: failureOfEnding(ending, child) },
    );
    if (batch !== undefined) {
      const error = ending.status === 'completed' ? undefined : failureOfEnding(ending, child);
      execution.spans?.attempt(batch, step, attempt, open.since, ending.status, error);
    }
    execution.settle(batch, () => this.#turn(open, ending));
    return batch;
  }

  /** The code may not have come to it yet: it was asked for behind the last result that the log has. */
  #turn(open: Open, ending: RunEnding): void {
    if (open.give === undefined) open.ending = ending;
    else open.give(ending);
  }

  /** The code has no use for it any more: its promise never settles. */
  #abort(id: string, reason: string): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    const before = this.closing.length;
    this.#cancel(open, reason);
    const gone = this.closing.splice(before);
    if (gone.length > 0) this.#close(gone, reason);
  }

  /** A word that is lost here is said again by whoever takes the run over, or writes its end. */
  #close(gone: readonly ChildRef[], reason: string): void {
    const { ports, run } = this.#execution;
    this.#execution.effect({ begin: () => void ports.family.close(run, gone, reason, false).catch(() => undefined) });
  }

  #cancel({ id, attempt, child }: Open, reason: string): void {
    this.#open.delete(id);
    this.#execution.push({ type: 'StepCancelled', step: id, attempt, reason });
    if (child.wait && child.onClose === 'cancel') this.closing.push(child);
  }

  /** The run ends as the log has it, where these steps are cancelled. */
  left(state: RunState): void {
    this.closing.push(...openChildren(state));
  }

  /** The run ends: what still waits does not any more. */
  cancelAll(reason = RUN_ENDED): void {
    for (const open of [...this.#open.values()]) this.#cancel(open, reason);
  }
}

const LOST: Failure = { code: 'MR_INTERNAL', message: 'failed', retryable: false, lost: false };

const nameOf = (target: Named): string => (typeof target === 'string' ? target : target.name);

/** A child's end as its step's failure. */
export function failureOfEnding(ending: RunEnding, { workflow, runId }: { workflow: string; runId: string }): Failure {
  if (ending.status === 'failed') return { ...ending.error, retryable: false };
  const reason = ending.status === 'cancelled' ? `: ${ending.reason}` : '';
  return {
    code: 'MR_CANCELLED',
    message: `child run ${runId} of ${workflow} was cancelled${reason}`,
    retryable: false,
    lost: false,
  };
}

function usage(what: string): MillraceError {
  return new MillraceError('MR_USAGE', what, { hint: 'use letters, digits, "-" and "_", at most 64 characters' });
}
