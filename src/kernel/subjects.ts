/**
 * Every subject, stream, consumer and bucket name of the system in one place: this file is the address book.
 * docs/protocol.md describes each of them.
 */
import { MillraceError } from './errors.ts';
import { derivedId } from './ids.ts';

/** Streams that Millrace owns besides the one per workflow. */
export const STREAMS = {
  tasks: 'MR_TASKS',
  flows: 'MR_FLOWS',
  timers: 'MR_TIMERS',
  asks: 'MR_ASKS',
  limits: 'MR_LIMITS',
  events: 'MR_EVENTS',
  dead: 'MR_DEAD',
  advisories: 'MR_ADVISORIES',
  schedules: 'MR_SCHEDULES',
} as const;

/** Key-value bucket that holds what was applied: the definitions of workflows, by name and by digest. */
export const DEFINITIONS_BUCKET = 'millrace_definitions';

/** Key-value bucket of what retention must know besides the streams: pins of runs, and which process sweeps a workflow. */
export const RETENTION_BUCKET = 'millrace_retention';

/** Header names. `traceparent` and `tracestate` are W3C Trace Context's own. */
export const HEADERS = {
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  msgId: 'Nats-Msg-Id',
  kind: 'Millrace-Kind',
  expectedLastSubjectSequence: 'Nats-Expected-Last-Subject-Sequence',
  redeliveredFrom: 'Millrace-Redelivered-From',
  reason: 'Millrace-Reason',
  code: 'Millrace-Code',
  originStream: 'Millrace-Origin-Stream',
  originSequence: 'Millrace-Origin-Sequence',
  originSubject: 'Millrace-Origin-Subject',
  run: 'Millrace-Run',
} as const;

const TOKEN = /^[A-Za-z0-9_-]+$/;

/** `true` when the text may stand as one token of a subject and in a stream's or consumer's name. */
export function isToken(text: string): boolean {
  return TOKEN.test(text) && text.length <= 64;
}

function token(text: string): string {
  if (isToken(text)) return text;
  throw new MillraceError('MR_INPUT_INVALID', `"${text}" cannot be part of a subject`, {
    hint: 'use letters, digits, "-" and "_", at most 64 characters',
  });
}

/**
 * The token of a step: its name, or that of a step which came of it (`undo:charge` compensates `charge`, `parse#12` is an
 * item of `parse`). `:` stands as it is, `#` as `=`: no declared step has either, so nothing clashes.
 */
function stepToken(step: string): string {
  if (isToken(step)) return step;
  const [, undo = '', name = step, item = ''] = /^(undo:)?([^:#]*)((?:#\d+)?)$/.exec(step) ?? [];
  return `${undo}${token(name)}${item.replace('#', '=')}`;
}

/** Makes one subject token of any text, for names that others chose (a Prefect task's name, a state's name). */
export function toToken(text: string): string {
  const clean = text.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 64);
  return clean === '' ? '_' : clean;
}

/** Stream of one workflow: its state machine. */
export const workflowStream = (workflow: string): string => `WF_${token(workflow)}`;
export const inputSubject = (workflow: string, runId: string): string => `wf.${token(workflow)}.in.${token(runId)}`;
export const logSubject = (workflow: string, runId: string): string => `wf.${token(workflow)}.log.${token(runId)}`;
export const allInputs = (workflow: string): string => `wf.${token(workflow)}.in.*`;
export const allLogs = (workflow: string): string => `wf.${token(workflow)}.log.*`;
/** Both sides of one run. */
export const runSubjects = (workflow: string, runId: string): string => `wf.${token(workflow)}.*.${token(runId)}`;
/** Durable consumer, shared by all controllers, over a workflow's inputs. */
export const CONTROLLER_CONSUMER = 'controller';

/** Durable consumer, shared by all controllers, of one trigger on its source stream. */
export const triggerConsumer = (workflow: string, trigger: string): string =>
  `TRIG_${token(workflow)}_${token(trigger)}`;

export const taskSubject = (queue: string, handler: string): string => `task.${token(queue)}.${handlerToken(handler)}`;
export const taskConsumer = (queue: string, handler: string): string => `W_${token(queue)}_${handlerToken(handler)}`;
/** Handlers are named with dots (`flights.validate`); a subject token and a consumer name cannot hold them. */
export const handlerToken = (handler: string): string => token(handler.replaceAll('.', '-'));
/** Core subject (not stored) that tells whoever runs an attempt of this run to stop. */
export const cancelSubject = (workflow: string, runId: string): string => `cancel.${token(workflow)}.${token(runId)}`;

/** Core subject (not stored) that tells the executor of a durable function's run to look at its log. */
export const wakeSubject = (workflow: string, runId: string): string => `wake.${token(workflow)}.${token(runId)}`;
export const allWakes = (workflow: string): string => `wake.${token(workflow)}.*`;

export const dispatchSubject = (pool: string): string => `flow.dispatch.${token(pool)}`;
export const hostConsumer = (pool: string): string => `HOST_${token(pool)}`;

/**
 * A timer's own subject: one schedule lives under it. `#`, which numbers the operations of durable functions and a step's
 * items, and `:` of compensations stay told apart.
 */
export const timerSubject = (workflow: string, runId: string, timer: string): string =>
  `timer.at.${token(workflow)}.${token(runId)}.${timer.replaceAll('#', '=').replace(/[^A-Za-z0-9_=:-]+/g, '_')}`;
export const timerFiredSubject = (workflow: string, runId: string): string =>
  `timer.fired.${token(workflow)}.${token(runId)}`;
export const TIMER_CONSUMER = 'timers';
export const ADVISORY_CONSUMER = 'advisories';

/**
 * A line is a schedule of a workflow, or the runs of one key that replace each other (its name then begins with `=`, which no
 * schedule's does). Its inputs, its log and its one timer have a subject each.
 */
const lineToken = (line: string): string => (line.startsWith('=') ? `=${token(line.slice(1))}` : token(line));
export const lineInputSubject = (workflow: string, line: string): string =>
  `sched.in.${token(workflow)}.${lineToken(line)}`;
export const lineLogSubject = (workflow: string, line: string): string =>
  `sched.log.${token(workflow)}.${lineToken(line)}`;
export const lineTimerSubject = (workflow: string, line: string): string =>
  `sched.at.${token(workflow)}.${lineToken(line)}`;
export const SCHEDULE_CONSUMER = 'schedules';
const LIMIT = /^[a-z]+:[A-Za-z0-9_-]{1,64}(?::[A-Za-z0-9_-]{1,64})?$/;

/**
 * A limit's own name as one token of a subject: `workflow:orders`, `shared:gpu`, `gather:orders:placed`.
 * @throws MillraceError MR_INPUT_INVALID
 */
function limitToken(limit: string): string {
  if (LIMIT.test(limit)) return limit;
  throw new MillraceError('MR_INPUT_INVALID', `"${limit}" is no limit`, {
    hint: 'see `millrace limits list` for the names of limits',
  });
}

/** Stands for a key of a limit in subjects: keys are whatever an expression gives. */
export const limitKeyToken = (limit: string, key: string): string =>
  key === '' ? '_' : derivedId('limit', limit, key);
/** What is asked of one key of a limit; `at` holds its one timer. */
export const limitInputSubject = (limit: string, keyToken: string): string =>
  `limit.in.${limitToken(limit)}.${token(keyToken)}`;
export const limitTimerSubject = (limit: string, keyToken: string): string =>
  `limit.at.${limitToken(limit)}.${token(keyToken)}`;
export const limitLogSubject = (limit: string, keyToken: string): string =>
  `limit.log.${limitToken(limit)}.${token(keyToken)}`;
export const ALL_LIMIT_LOGS = 'limit.log.*.*';
/** Durable consumer, shared by all controllers, over what is asked of limits. */
export const LIMIT_CONSUMER = 'limits';

/** Limit and key of an `in` or `log` subject of limits, or undefined when it is neither. */
export function parseLimitSubject(subject: string): { readonly limit: string; readonly token: string } | undefined {
  const [root, side, limit, key, ...rest] = subject.split('.');
  if (root !== 'limit' || (side !== 'in' && side !== 'log')) return undefined;
  return limit === undefined || key === undefined || rest.length > 0 ? undefined : { limit, token: key };
}

export const runEventSubject = (workflow: string, runId: string, event: string): string =>
  `evt.run.${token(workflow)}.${token(runId)}.${token(event)}`;
export const stepEventSubject = (workflow: string, runId: string, step: string, event: string): string =>
  `evt.step.${token(workflow)}.${token(runId)}.${stepToken(step)}.${token(event)}`;
export const flowEventSubject = (workflow: string, runId: string, step: string, type: string): string =>
  `evt.flow.${token(workflow)}.${token(runId)}.${stepToken(step)}.${toToken(type)}`;
export const taskRunEventSubject = (
  workflow: string,
  runId: string,
  step: string,
  task: string,
  type: string,
): string => `evt.task.${token(workflow)}.${token(runId)}.${stepToken(step)}.${toToken(task)}.${toToken(type)}`;

/** What ended as a dead letter. */
export type DeadKind = 'trigger' | 'run' | 'input' | 'task' | 'flow';
export const deadSubject = (kind: DeadKind, workflow: string, id: string): string =>
  `dead.${kind}.${token(workflow)}.${toToken(id)}`;

/** Workflow and run of an `in` or `log` subject, or undefined when it is neither. */
export function parseRunSubject(
  subject: string,
): { readonly workflow: string; readonly side: 'in' | 'log'; readonly runId: string } | undefined {
  const [root, workflow, side, runId, ...rest] = subject.split('.');
  if (root !== 'wf' || workflow === undefined || runId === undefined || rest.length > 0) return undefined;
  return side === 'in' || side === 'log' ? { workflow, side, runId } : undefined;
}

/** Workflow and run of a `timer.fired` subject. */
export function parseTimerFired(subject: string): { readonly workflow: string; readonly runId: string } | undefined {
  const [root, fired, workflow, runId, ...rest] = subject.split('.');
  if (root !== 'timer' || fired !== 'fired' || workflow === undefined || runId === undefined || rest.length > 0) {
    return undefined;
  }
  return { workflow, runId };
}

/** Workflow and line of a subject `sched.<side>.<workflow>.<line>`. */
export function parseLineSubject(subject: string): { readonly workflow: string; readonly line: string } | undefined {
  const [root, side, workflow, line, ...rest] = subject.split('.');
  if (root !== 'sched' || side === undefined || workflow === undefined || line === undefined || rest.length > 0) {
    return undefined;
  }
  return { workflow, line };
}
