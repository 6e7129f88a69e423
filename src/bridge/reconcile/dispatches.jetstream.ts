/**
 * The way to flow hosts: dispatches on the work queue MR_FLOWS, cancels on core subjects.
 *
 * A dispatch stays on the stream until its host acknowledges it, and the host does so after the flow run's end is stored.
 * So what is on the stream is exactly what some host holds or will get: read back, it tells lost work from slow work.
 */
import type { StoredMsg } from '@nats-io/jetstream';
import { headers as newHeaders } from 'nats';
import type { NatsDoor } from '../../drivers/index.ts';
import { type CancelMessage, type DispatchMessage, dispatchMessageSchema } from '../../engine/index.ts';
import { cancelSubject, dispatchSubject, HEADERS, MillraceError, messageOf, STREAMS } from '../../kernel/index.ts';
import type { Queued } from './diff.ts';
import { type Dispatches, NOT_QUEUED } from './ports.ts';

/** How old an answer may be; many reconcilers asking at once share one reading. */
const FRESH_MS = 500;
const BATCH = 256;
const NO_MESSAGE = 404;

/** Dispatches over an open connection. */
export function openDispatches(door: NatsDoor): Dispatches {
  return new StreamDispatches(door);
}

class StreamDispatches implements Dispatches {
  readonly #door: NatsDoor;
  #reading: { readonly at: number; readonly queued: Promise<ReadonlyMap<string, Queued>> } | undefined;

  constructor(door: NatsDoor) {
    this.#door = door;
  }

  async publish(pool: string, message: DispatchMessage, n: number): Promise<void> {
    const subject = dispatchSubject(pool);
    const { nc, js } = this.#door;
    const headers = newHeaders();
    headers.set(HEADERS.traceparent, message.traceparent);
    headers.set(HEADERS.run, message.runId);
    try {
      const msgID = `dispatch:${message.flowRunId}:${message.action}:${n}`;
      await js.publish(subject, JSON.stringify(message), { msgID, headers });
    } catch (cause) {
      const where = nc.isClosed() ? 'the connection is closed' : messageOf(cause);
      throw new MillraceError('MR_NATS', `flow run ${message.flowRunId} could not be dispatched: ${where}`, {
        hint: `check that stream ${STREAMS.flows} exists (a controller creates it at start)`,
        cause,
      });
    }
    this.#reading = undefined;
  }

  cancel(message: CancelMessage): void {
    this.#door.nc.publish(cancelSubject(message.workflow, message.runId), JSON.stringify(message));
  }

  queued(): Promise<ReadonlyMap<string, Queued>> {
    const now = Date.now();
    if (this.#reading === undefined || now - this.#reading.at > FRESH_MS) {
      const queued = this.#read();
      queued.catch(() => undefined); // each caller gets the failure; without callers it is nobody's
      this.#reading = { at: now, queued };
    }
    return this.#reading.queued;
  }

  async #read(): Promise<ReadonlyMap<string, Queued>> {
    const found = new Map<string, Queued>();
    for (let seq = 1; ; ) {
      const { last, count } = await this.#readBatch(seq, found);
      if (count === 0) return found;
      seq = last + 1;
    }
  }

  async #readBatch(seq: number, found: Map<string, Queued>): Promise<{ last: number; count: number }> {
    let last = seq;
    let count = 0;
    try {
      const options = { seq, batch: BATCH, next_by_subj: 'flow.dispatch.*' };
      for await (const message of await this.#door.jsm.direct.getBatch(STREAMS.flows, options)) {
        last = message.seq;
        count++;
        note(found, message);
      }
    } catch (error) {
      if (statusOf(error) !== NO_MESSAGE) {
        throw new MillraceError('MR_NATS', `stream ${STREAMS.flows} cannot be read: ${messageOf(error)}`, {
          hint: 'check that JetStream is healthy with millrace doctor',
          cause: error,
        });
      }
    }
    return { last, count };
  }
}

function note(found: Map<string, Queued>, message: StoredMsg): void {
  const parsed = dispatchMessageSchema.safeParse(jsonOf(message));
  if (!parsed.success) return; // not ours to judge: the host makes it a dead letter
  const { flowRunId, action } = parsed.data;
  found.set(flowRunId, { ...(found.get(flowRunId) ?? NOT_QUEUED), [action]: true });
}

function jsonOf(message: StoredMsg): unknown {
  try {
    return message.json();
  } catch {
    return undefined;
  }
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'number') return error.code;
  return 'status' in error && typeof error.status === 'number' ? error.status : undefined;
}
