/** A worker of a few lines: for tests of the engine that must not depend on the worker SDK. */
import { consumeDurable, type NatsDoor } from '../../src/drivers/index.ts';
import {
  type InputBody,
  type Journal,
  openJournal,
  type TaskMessage,
  taskMessageSchema,
} from '../../src/engine/index.ts';
import { type Json, messageOf, STREAMS } from '../../src/kernel/index.ts';

export interface TinyWorker {
  /** Every task that was begun, in order, redeliveries included. */
  readonly begun: readonly TaskMessage[];
  stop(): Promise<void>;
}

export interface TinyWorkerOptions {
  readonly door: NatsDoor;
  /** Gives the step's output; what it throws fails the attempt. `undefined` leaves the task unacknowledged. */
  readonly work?: (task: TaskMessage, headers: Readonly<Record<string, string>>) => Json | undefined;
  readonly maxDeliver?: number;
  readonly ackWaitMs?: number;
}

const CONSUMER = 'W_tiny';
const FAILED = { code: 'MR_STEP_FAILED', retryable: true, lost: false } as const;

export async function tinyWorker(options: TinyWorkerOptions): Promise<TinyWorker> {
  const { door, work = () => null } = options;
  // An earlier worker of the same test may have had other options.
  await door.jsm.consumers.delete(STREAMS.tasks, CONSUMER).catch(() => undefined);
  await door.jsm.consumers.add(STREAMS.tasks, {
    durable_name: CONSUMER,
    ack_policy: 'explicit',
    filter_subject: 'task.>',
    ack_wait: (options.ackWaitMs ?? 30_000) * 1_000_000,
    max_deliver: options.maxDeliver ?? -1,
    max_ack_pending: 5_000,
  });
  const journal = openJournal(door);
  const begun: TaskMessage[] = [];
  const consumption = consumeDurable({
    door,
    stream: STREAMS.tasks,
    consumer: CONSUMER,
    maxInFlight: 256,
    async handle(msg) {
      const task = taskMessageSchema.parse(msg.json());
      begun.push(task);
      const traceparent = msg.headers['traceparent'] ?? '';
      let output: Json | undefined;
      try {
        output = work(task, { traceparent });
      } catch (error) {
        await report(journal, task, { message: messageOf(error) });
        return msg.ack();
      }
      if (output === undefined) return;
      await report(journal, task, { output });
      msg.ack();
    },
  });
  return {
    begun,
    async stop() {
      await consumption.stop();
      journal.close();
    },
  };
}

async function report(journal: Journal, task: TaskMessage, end: { output: Json } | { message: string }): Promise<void> {
  const { workflow, runId, step, attempt } = task;
  const attempted = { step, attempt };
  const body: InputBody =
    'output' in end
      ? { v: 1, kind: 'task.succeeded', ...attempted, output: end.output }
      : { v: 1, kind: 'task.failed', ...attempted, error: { ...FAILED, message: end.message } };
  await journal.send({ workflow, runId }, body, { msgId: `result:${runId}:${step}:${attempt}` });
}
