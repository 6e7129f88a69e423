/** Stores the attempts' reports on their runs' `in` subjects, and messages that are no task as dead letters. */
import { assertPayload, type NatsDoor, openCommitter, type Payload } from '../drivers/index.ts';
import type { InputBody, TaskMessage } from '../engine/index.ts';
import { deadSubject, HEADERS, inputSubject, MillraceError, STREAMS, workflowStream } from '../kernel/index.ts';
import { headersOfContext, type TraceHeaders } from '../telemetry/index.ts';
import type { ResultSink, TaskDelivery, Timers } from './types.ts';

/** How long a report is tried again before its message is given back, in ms. */
const TRY_FOR_MS = 60_000;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;

/** A sink that tries again while the server is away. Its `close` ends what is under way. */
export function createResultSink(
  door: NatsDoor,
  timers: Timers,
  isStopped: () => boolean,
): ResultSink & { close(): void } {
  const committer = openCommitter(door);
  const publish = async (
    stream: string,
    subject: string,
    data: Payload,
    headers: Readonly<Record<string, string>>,
    what: string,
  ): Promise<void> => {
    const until = timers.now() + TRY_FOR_MS;
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(LONGEST_WAIT_MS, wait * 2)) {
      assertPayload(door.nc, data, what);
      const outcome = await committer.publish(stream, subject, data, headers);
      if (outcome.kind === 'stored') return;
      if (isStopped() || timers.now() + wait > until) {
        throw new MillraceError('MR_NATS', `${what} could not be stored: ${outcome.reason}`);
      }
      // Refused or unknown: its message id makes it safe to send once more.
      await new Promise<void>((resolve) => timers.after(wait, resolve));
    }
  };

  return {
    send(task: TaskMessage, body: InputBody, msgId: string, trace: TraceHeaders) {
      const data = JSON.stringify(body);
      const what = body.kind === 'task.succeeded' ? 'the result' : 'the report';
      const headers = { ...contextHeaders(trace), [HEADERS.msgId]: msgId };
      return publish(workflowStream(task.workflow), inputSubject(task.workflow, task.runId), data, headers, what);
    },
    dead(delivery: TaskDelivery, code: string, reason: string) {
      const kept = Object.entries(delivery.headers).filter(([name]) => !name.startsWith('Nats-'));
      const headers = {
        ...Object.fromEntries(kept),
        [HEADERS.code]: code,
        [HEADERS.reason]: reason.replaceAll(/[\r\n]+/g, ' '),
        [HEADERS.originStream]: STREAMS.tasks,
        [HEADERS.originSequence]: String(delivery.seq),
        [HEADERS.originSubject]: delivery.subject,
        [HEADERS.msgId]: `dead:${STREAMS.tasks}:${delivery.seq}`,
      };
      // The message names no workflow that could be trusted; the queue's subject is all that is known of it.
      const subject = deadSubject('task', 'unknown', `${STREAMS.tasks}-${delivery.seq}`);
      return publish(STREAMS.dead, subject, delivery.data, headers, 'a dead letter');
    },
    close: () => committer.close(),
  };
}

/** Without tracing there is no context to pass on. */
function contextHeaders(trace: TraceHeaders): Record<string, string> {
  return trace.traceparent === '' ? {} : headersOfContext(trace);
}
