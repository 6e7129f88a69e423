/**
 * One attempt: check the input, call the handler, check the output, say what came of it. No timers, no I/O of its own.
 *
 *   W1 an attempt gives exactly one outcome, whatever the handler throws or returns;
 *   W2 the handler never sees an input its schema refuses, the journal never sees an output its schema refuses.
 */
import type { Failure, InputBody, TaskMessage } from '../engine/index.ts';
import { type Json, MillraceError, messageOf } from '../kernel/index.ts';
import { describeIssues, failureOf, terminalFailure } from './errors.ts';
import type { RegisteredHandler, StepContext } from './types.ts';

export type Outcome = { readonly ok: true; readonly output: Json } | { readonly ok: false; readonly error: Failure };

/** Key of an attempt inside a process. */
export const attemptKey = (task: Pick<TaskMessage, 'workflow' | 'runId' | 'step' | 'attempt'>): string =>
  `${task.workflow}/${task.runId}/${task.step}/${task.attempt}`;

/** Message id of an attempt's report, see docs/protocol.md. */
export const reportId = (what: 'started' | 'result' | 'beat', task: TaskMessage): string =>
  `${what}:${task.runId}:${task.step}:${task.attempt}`;

/** Who ran an attempt, and since when (ms since the epoch). */
export interface Begun {
  readonly worker: string;
  readonly startedAt: number;
}

/**
 * What the engine is told of an outcome. It names the worker, so a short attempt needs no other report.
 * @param begun undefined for an attempt that was stopped before it began
 */
export function reportOf(task: TaskMessage, outcome: Outcome, begun: Begun | undefined): InputBody {
  const { step, attempt } = task;
  return outcome.ok
    ? { v: 1, kind: 'task.succeeded', step, attempt, ...begun, output: outcome.output }
    : { v: 1, kind: 'task.failed', step, attempt, ...begun, error: outcome.error };
}

/** Fails an attempt from inside its handler. */
export function fail(message: string, options: { readonly retryable?: boolean; readonly hint?: string } = {}): never {
  throw new MillraceError('MR_STEP_FAILED', message, {
    next: options.retryable === true ? 'retry' : 'terminal',
    ...(options.hint === undefined ? {} : { hint: options.hint }),
  });
}

/**
 * The value as JSON: what JSON leaves out (`undefined`) is left out.
 * @throws MillraceError MR_OUTPUT_INVALID for what JSON cannot hold
 */
export function jsonOf(what: string, value: unknown): Json {
  try {
    const text = JSON.stringify(value);
    return text === undefined ? null : (JSON.parse(text) as Json);
  } catch (error) {
    throw new MillraceError('MR_OUTPUT_INVALID', `${what} is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

/** Runs the handler on the task. Never throws. */
export async function runAttempt(
  handler: RegisteredHandler,
  task: TaskMessage,
  context: StepContext,
): Promise<Outcome> {
  const input = await handler.input.safeParseAsync(task.input).catch((error: unknown) => error);
  if (!isParsed(input)) return { ok: false, error: schemaBroke('input', handler.name, input) };
  if (!input.success) {
    const message = `input of ${handler.name}: ${describeIssues(input.error)}`;
    return {
      ok: false,
      error: terminalFailure('MR_INPUT_INVALID', message, `see the step's \`with\` in the workflow`),
    };
  }
  let returned: unknown;
  try {
    returned = await handler.run(input.data, context);
  } catch (error) {
    return { ok: false, error: failureOf(error) };
  }
  const output = await handler.output.safeParseAsync(returned).catch((error: unknown) => error);
  if (!isParsed(output)) return { ok: false, error: schemaBroke('output', handler.name, output) };
  if (!output.success) {
    const message = `output of ${handler.name}: ${describeIssues(output.error)}`;
    return { ok: false, error: terminalFailure('MR_OUTPUT_INVALID', message) };
  }
  try {
    return { ok: true, output: jsonOf(`output of ${handler.name}`, output.data) };
  } catch (error) {
    return { ok: false, error: failureOf(error) };
  }
}

type Parsed = Awaited<ReturnType<RegisteredHandler['input']['safeParseAsync']>>;

function isParsed(value: unknown): value is Parsed {
  return typeof value === 'object' && value !== null && 'success' in value;
}

function schemaBroke(side: string, handler: string, error: unknown): Failure {
  return terminalFailure('MR_INTERNAL', `the ${side} schema of ${handler} threw: ${failureOf(error).message}`);
}
