/** The durable consumer that all workers of one handler share. */
import { AckPolicy, DeliverPolicy, JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import type { NatsDoor } from '../drivers/index.ts';
import { MillraceError, messageOf, STREAMS, taskConsumer, taskSubject } from '../kernel/index.ts';
import type { RegisteredHandler } from './types.ts';

const NANOS = 1_000_000;
/** Deliveries before the server gives a task up. */
const MAX_DELIVER = 5;
const MAX_ACK_PENDING = 10_000;
const MAX_WAITING = 2_048;

/**
 * Creates the consumer if it is missing; gives the ack wait it has, in ms (an existing one keeps its own).
 * @throws MillraceError MR_NATS when it cannot be created
 */
export async function ensureTaskConsumer(door: NatsDoor, queue: string, handler: RegisteredHandler): Promise<number> {
  const name = taskConsumer(queue, handler.name);
  try {
    const { config } = await door.jsm.consumers.info(STREAMS.tasks, name);
    return Math.round((config.ack_wait ?? 30_000 * NANOS) / NANOS);
  } catch (error) {
    if (!isMissing(error)) throw unavailable(name, error);
  }
  try {
    await door.jsm.consumers.add(STREAMS.tasks, {
      durable_name: name,
      description: `Attempts of handler ${handler.name} on their way to workers`,
      filter_subject: taskSubject(queue, handler.name),
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: handler.ackWaitMs * NANOS,
      max_deliver: MAX_DELIVER,
      max_ack_pending: MAX_ACK_PENDING,
      max_waiting: MAX_WAITING,
    });
    return handler.ackWaitMs;
  } catch (error) {
    throw unavailable(name, error);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound;
}

function unavailable(name: string, cause: unknown): MillraceError {
  if (cause instanceof JetStreamApiError && cause.code === JetStreamApiCodes.StreamNotFound) {
    return new MillraceError('MR_NATS', `the stream ${STREAMS.tasks} does not exist, so no task can come`, {
      hint: 'apply the manifests first: `millrace apply streams/`',
      next: 'terminal',
      cause,
    });
  }
  return new MillraceError('MR_NATS', `consumer ${name} cannot be had: ${messageOf(cause)}`, { cause });
}
