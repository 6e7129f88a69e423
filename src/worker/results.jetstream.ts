/** Stores the attempts' reports on their runs' `in` subjects, and messages that are no task as dead letters. */
import { headers as newHeaders } from 'nats';
import { assertPayload, type NatsDoor } from '../drivers/index.ts';
import type { InputBody, TaskMessage } from '../engine/index.ts';
import {
  deadSubject,
  HEADERS,
  inputSubject,
  isMillraceError,
  MillraceError,
  messageOf,
  STREAMS,
} from '../kernel/index.ts';
import { headersOfContext, type TraceHeaders } from '../telemetry/index.ts';
import type { ResultSink, TaskDelivery, Timers } from './types.ts';

/** How long a report is tried again before its message is given back, in ms. */
const TRY_FOR_MS = 60_000;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;

/** A sink that tries again while the server is away. */
export function createResultSink(door: NatsDoor, timers: Timers, isStopped: () => boolean): ResultSink {
  const publish = async (
    subject: string,
    data: Uint8Array,
    msgId: string,
    headers: Readonly<Record<string, string>>,
    what: string,
  ): Promise<void> => {
    const hdrs = newHeaders();
    for (const [name, value] of Object.entries(headers)) if (value !== '') hdrs.set(name, value);
    const until = timers.now() + TRY_FOR_MS;
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(LONGEST_WAIT_MS, wait * 2)) {
      assertPayload(door.nc, data, what);
      try {
        await door.js.publish(subject, data, { msgID: msgId, headers: hdrs });
        return;
      } catch (cause) {
        if (isMillraceError(cause)) throw cause;
        if (isStopped() || timers.now() + wait > until) {
          throw new MillraceError('MR_NATS', `${what} could not be stored: ${messageOf(cause)}`, { cause });
        }
      }
      await new Promise<void>((resolve) => timers.after(wait, resolve));
    }
  };

  return {
    send(task: TaskMessage, body: InputBody, msgId: string, trace: TraceHeaders) {
      const data = new TextEncoder().encode(JSON.stringify(body));
      const what = body.kind === 'task.succeeded' ? 'the result' : 'the report';
      return publish(inputSubject(task.workflow, task.runId), data, msgId, headersOfContext(trace), what);
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
      };
      // The message names no workflow that could be trusted; the queue's subject is all that is known of it.
      const subject = deadSubject('task', 'unknown', `${STREAMS.tasks}-${delivery.seq}`);
      return publish(subject, delivery.data, `dead:${STREAMS.tasks}:${delivery.seq}`, headers, 'a dead letter');
    },
  };
}
