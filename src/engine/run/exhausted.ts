/** What it means that the server has given up delivering a message. Pure. */
import {
  CONTROLLER_CONSUMER,
  type DeadKind,
  type ErrorCode,
  isObject,
  type Json,
  parseRunSubject,
  STREAMS,
  triggerConsumer,
  workflowStream,
} from '../../kernel/index.ts';
import type { RunRef } from '../journal/port.ts';
import {
  type Definition,
  dispatchMessageSchema,
  type Failure,
  type InputBody,
  taskMessageSchema,
} from '../model/index.ts';

/** The server's advisory, as far as it is used. */
export interface Exhausted {
  readonly stream: string;
  readonly consumer: string;
  readonly sequence: number;
  readonly deliveries: number;
}

export interface ExhaustedMessage {
  readonly subject: string;
  readonly data: Uint8Array;
}

/** What to do about it. */
export interface Verdict {
  readonly kind: DeadKind;
  readonly workflow: string;
  /** Names the dead letter. */
  readonly id: string;
  readonly runId?: string;
  readonly code: ErrorCode;
  readonly reason: string;
  /** Tells the run, when one waits for the message. */
  readonly tell?: { readonly run: RunRef; readonly body: InputBody; readonly msgId: string };
  /** True when the message is to leave its stream: a work queue keeps what nobody acknowledged. */
  readonly remove: boolean;
}

/** Stands for the workflow of a message that does not say whose it is. */
const NOBODY = '_';

/** Reads an advisory; undefined when it is none. */
export function parseAdvisory(text: string): Exhausted | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { stream, consumer, stream_seq: sequence, deliveries } = value;
  if (typeof stream !== 'string' || typeof consumer !== 'string' || typeof sequence !== 'number') return undefined;
  return { stream, consumer, sequence, deliveries: typeof deliveries === 'number' ? deliveries : 0 };
}

/** undefined: somebody else's consumer, none of our business. */
export function judgeExhausted(
  advisory: Exhausted,
  message: ExhaustedMessage,
  definitions: readonly Definition[],
): Verdict | undefined {
  const { stream, consumer, deliveries, sequence } = advisory;
  const reason = `given up after ${deliveries} deliveries to ${consumer}`;
  if (stream === STREAMS.tasks) return judgeTask(message, sequence, reason);
  if (stream === STREAMS.flows) return judgeFlow(message, sequence, reason);
  const run = parseRunSubject(message.subject);
  if (run !== undefined && stream === workflowStream(run.workflow)) {
    if (consumer !== CONTROLLER_CONSUMER) return undefined;
    const { workflow, runId } = run;
    return { kind: 'input', workflow, id: runId, runId, code: 'MR_INTERNAL', reason, remove: false };
  }
  const owner = definitions.find(({ name, triggers }) =>
    triggers.some((trigger) => trigger.stream === stream && triggerConsumer(name, trigger.name) === consumer),
  );
  if (owner === undefined) return undefined;
  const id = `${stream}-${sequence}`;
  return { kind: 'trigger', workflow: owner.name, id, code: 'MR_INTERNAL', reason, remove: false };
}

function failure(message: string): Failure {
  return {
    code: 'MR_STEP_EXHAUSTED',
    message,
    hint: 'the process that runs the step dies or hangs on this input; see the dead letter',
    retryable: false,
    lost: false,
  };
}

function judgeTask({ data }: ExhaustedMessage, sequence: number, reason: string): Verdict {
  const code = 'MR_STEP_EXHAUSTED';
  const parsed = taskMessageSchema.safeParse(jsonOf(data));
  if (!parsed.success) {
    return { kind: 'task', workflow: NOBODY, id: `${STREAMS.tasks}-${sequence}`, code, reason, remove: true };
  }
  const { workflow, runId, step, attempt } = parsed.data;
  return {
    ...{ kind: 'task', workflow, id: runId, runId, code, reason, remove: true },
    tell: {
      run: { workflow, runId },
      body: { v: 1, kind: 'task.failed', step, attempt, error: failure(reason) },
      // The worker's own id: if its result is stored and only the acknowledgement was lost, this is a duplicate.
      msgId: `result:${runId}:${step}:${attempt}`,
    },
  };
}

function judgeFlow({ data }: ExhaustedMessage, sequence: number, reason: string): Verdict {
  const code = 'MR_STEP_EXHAUSTED';
  const parsed = dispatchMessageSchema.safeParse(jsonOf(data));
  if (!parsed.success) {
    return { kind: 'flow', workflow: NOBODY, id: `${STREAMS.flows}-${sequence}`, code, reason, remove: true };
  }
  const { workflow, runId, step, attempt, flowRunId } = parsed.data;
  return {
    ...{ kind: 'flow', workflow, id: runId, runId, code, reason, remove: true },
    tell: {
      run: { workflow, runId },
      body: {
        ...{ v: 1, kind: 'flow', step, attempt, source: 'reconcile', error: failure(reason) },
        // What Prefect says of the flow run is not known here, so none is named.
        flowRunId: '',
        state: { type: 'FAILED', name: 'Exhausted', message: reason, at: 0 },
      },
      msgId: `exhausted:${flowRunId}:${sequence}`,
    },
  };
}

function jsonOf(data: Uint8Array): Json | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(data)) as Json;
  } catch {
    return undefined;
  }
}
