/** State changes as `millrace events tail` shows them: what a message on an event's subject says. Pure. */
import { isObject } from '../../kernel/index.ts';

export const EVENT_KINDS = ['run', 'step', 'flow', 'task', 'prefect'] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** One state change. */
export interface StateChange {
  readonly kind: EventKind;
  readonly subject: string;
  readonly seq: number;
  /** ms since the epoch: when it happened, as far as the message says, else when it was stored. */
  readonly at: number;
  readonly state: string;
  readonly workflow?: string;
  readonly runId?: string;
  readonly step?: string;
  readonly task?: string;
  readonly deployment?: string;
  readonly flowRunId?: string;
  readonly message?: string;
  /** The message's body, as it was sent. */
  readonly body: unknown;
}

/** What is wanted; all that is given must hold. */
export interface EventFilter {
  readonly kinds: ReadonlySet<EventKind>;
  readonly workflow?: string | undefined;
  readonly run?: string | undefined;
  readonly deployment?: string | undefined;
  /** Compared without regard to case. */
  readonly states?: ReadonlySet<string> | undefined;
  readonly flowRun?: string | undefined;
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

function optional<K extends string>(name: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: string });
}

function millrace(parts: readonly string[], subject: string, seq: number, at: number, body: unknown): StateChange {
  const [, kind = '', workflow, runId, ...rest] = parts;
  const said = isObject(body) ? body : {};
  const state = isObject(said['state']) ? said['state'] : {};
  const error = isObject(said['error']) ? text(said['error']['message']) : undefined;
  const message = text(state['message']) ?? text(said['reason']) ?? error;
  return {
    kind: kind as EventKind,
    ...{ subject, seq, body },
    at: typeof said['at'] === 'number' ? said['at'] : typeof state['at'] === 'number' ? state['at'] : at,
    state: text(state['name']) ?? rest.at(-1) ?? '',
    ...optional('workflow', workflow),
    ...optional('runId', runId),
    ...optional('step', kind === 'run' ? undefined : rest[0]),
    ...optional('task', kind === 'task' ? (text(said['taskName']) ?? rest[1]) : undefined),
    ...optional('flowRunId', text(said['flowRunId'])),
    ...optional('message', message),
  };
}

function prefect(parts: readonly string[], subject: string, seq: number, at: number, body: unknown): StateChange {
  const [, run, type = '', deployment, id] = parts;
  const said = isObject(body) ? body : {};
  const resource = isObject(said['resource']) ? said['resource'] : {};
  const occurred = Date.parse(text(said['occurred']) ?? '');
  return {
    kind: 'prefect',
    ...{ subject, seq, body },
    at: Number.isNaN(occurred) ? at : occurred,
    state: text(resource['prefect.state-name']) ?? type,
    ...optional('deployment', deployment === '_' ? undefined : deployment),
    ...optional('flowRunId', run === 'flow-run' ? id : undefined),
    ...optional('task', run === 'task-run' ? text(resource['prefect.resource.name']) : undefined),
    ...optional('message', text(resource['prefect.state-message'])),
  };
}

/** The state change that a message tells; undefined for a message that tells none. */
export function stateChangeOf(subject: string, seq: number, storedAt: number, data: string): StateChange | undefined {
  let body: unknown;
  try {
    body = JSON.parse(data);
  } catch {
    return undefined;
  }
  const parts = subject.split('.');
  const [root, kind = ''] = parts;
  if (root === 'evt' && EVENT_KINDS.some((one) => one === kind && one !== 'prefect')) {
    return millrace(parts, subject, seq, storedAt, body);
  }
  if (root === 'prefect' && (kind === 'flow-run' || kind === 'task-run')) {
    return prefect(parts, subject, seq, storedAt, body);
  }
  return undefined;
}

/** Whether the filter lets it through. A state is its name or its type: `Late` and `SCHEDULED` both find a late flow run. */
export function isWanted(change: StateChange, filter: EventFilter): boolean {
  const type = change.subject.split('.').at(change.kind === 'prefect' ? 2 : -1) ?? '';
  const { states } = filter;
  return (
    filter.kinds.has(change.kind) &&
    (filter.workflow === undefined || change.workflow === filter.workflow) &&
    (filter.run === undefined || change.runId === filter.run) &&
    (filter.deployment === undefined || change.deployment === filter.deployment) &&
    (filter.flowRun === undefined || change.flowRunId === filter.flowRun) &&
    (states === undefined || states.has(change.state.toLowerCase()) || states.has(type.toLowerCase()))
  );
}
