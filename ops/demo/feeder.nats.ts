/**
 * Publishes the demo's messages, as the systems of an airline and of a seismological service would: with a trace context
 * of its own span and a message id, so that a message sent twice is stored once.
 */
import { headers } from 'nats';
import type { NatsDoor } from '../../src/drivers/index.ts';
import { runIdOf } from '../../src/kernel/index.ts';
import { headersOfContext, type Tracer } from '../../src/telemetry/index.ts';
import type { Item } from './data.ts';

export interface FeedOptions {
  readonly door: NatsDoor;
  readonly tracer: Tracer;
  /** Part of every message id: another demo's messages are other messages. */
  readonly salt: string;
  readonly items: readonly Item[];
  /** Resolves when the next run may begin: the feeder does not bury the machine. */
  readonly room: () => Promise<void>;
  readonly signal: AbortSignal;
  /** Told of every run that a stored message starts. */
  readonly onRun: (run: FedRun) => void;
}

export interface FedRun {
  readonly workflow: string;
  readonly runId: string;
  readonly item: Item;
  /** W3C trace context of the publishing span. */
  readonly traceparent: string;
}

/** Publishes all items in order; gives how many were stored. Stops early when the signal aborts. */
export async function feed(options: FeedOptions): Promise<number> {
  const { items, room, signal } = options;
  let stored = 0;
  let pending: Promise<void>[] = [];
  for (const item of items) {
    if (signal.aborted) break;
    if (item.starts !== undefined) {
      await Promise.all(pending);
      pending = [];
      await room();
      if (signal.aborted) break;
      await publish(options, item);
    } else {
      pending.push(publish(options, item)); // starts nothing: no need to wait for each
    }
    stored++;
  }
  await Promise.all(pending);
  return stored;
}

async function publish({ door, tracer, salt, onRun }: FeedOptions, item: Item): Promise<void> {
  const span = tracer.start(`publish ${item.subject}`, undefined, 'producer', {
    'messaging.system': 'nats',
    'messaging.destination.name': item.subject,
  });
  const hdrs = headers();
  for (const [name, value] of Object.entries(headersOfContext(span.context))) if (value !== '') hdrs.set(name, value);
  try {
    const options = { msgID: `${salt}/${item.id}`, headers: hdrs, retries: 5 };
    const ack = await door.js.publish(item.subject, JSON.stringify(item.payload), options);
    span.set({ 'messaging.nats.stream': ack.stream, 'messaging.nats.sequence': ack.seq });
    span.end();
    if (item.starts === undefined) return;
    const { workflow, trigger } = item.starts;
    const runId = runIdOf(workflow, trigger, ack.stream, ack.seq);
    onRun({ workflow, runId, item, traceparent: span.context.traceparent });
  } catch (error) {
    span.end(error instanceof Error ? error.message : String(error));
    throw error;
  }
}
