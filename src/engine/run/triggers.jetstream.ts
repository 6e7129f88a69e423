/**
 * Triggers: messages on any stream that start runs.
 *
 * Boundary: one shared durable consumer per trigger (created by apply). A message is acknowledged when its `start` input
 * is stored, its condition is false, or its dead letter is stored. The same message always names the same run.
 */

import { consumeDurable, type Delivered, type DurableConsumption, type NatsDoor } from '../../drivers/index.ts';
import { type Clock, isMillraceError, type MillraceError, messageOf, triggerConsumer } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { giveBackMs } from '../journal/give-back.ts';
import type { Journal } from '../journal/port.ts';
import type { Definition, TriggerDefinition } from '../model/index.ts';
import type { AskMessage } from './asks.ts';
import type { Outbox } from './ports.ts';
import { decideTrigger, type TriggerDecision, type TriggerMessage } from './trigger.ts';

export interface TriggerPorts {
  readonly door: NatsDoor;
  readonly journal: Journal;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** Starts runs of the definition from one of its triggers. */
export function consumeTrigger(
  ports: TriggerPorts,
  definition: Definition,
  trigger: TriggerDefinition,
): DurableConsumption {
  return consumeDurable({
    door: ports.door,
    stream: trigger.stream,
    consumer: triggerConsumer(definition.name, trigger.name),
    maxInFlight: 64,
    handle: (msg) => onMessage(ports, definition, trigger, msg),
    report: (message, error) => ports.telemetry.log.warn({ workflow: definition.name, err: error }, message),
  });
}

async function onMessage(
  ports: TriggerPorts,
  definition: Definition,
  trigger: TriggerDefinition,
  msg: Delivered,
): Promise<void> {
  const { clock, telemetry } = ports;
  const begun = clock.now();
  const message = messageFrom(msg, trigger.stream);
  const labels = { workflow: definition.name, trigger: trigger.name };
  try {
    const outcome = await carryOut(ports, definition, message, decideTrigger(definition, trigger, message), begun);
    msg.ack();
    telemetry.metrics.count('millrace_trigger_messages_total', { ...labels, outcome });
  } catch (error) {
    telemetry.log.warn({ ...labels, seq: msg.seq, err: error }, `message given back: ${messageOf(error)}`);
    telemetry.metrics.count('millrace_trigger_messages_total', { ...labels, outcome: 'given_back' });
    msg.nak(giveBackMs(msg.deliveries));
  }
}

function messageFrom(msg: Delivered, stream: string): TriggerMessage {
  return {
    stream,
    sequence: msg.seq,
    subject: msg.subject,
    storedAt: msg.at,
    data: msg.data,
    headers: msg.headers,
  };
}

async function carryOut(
  ports: TriggerPorts,
  definition: Definition,
  message: TriggerMessage,
  decision: TriggerDecision,
  begun: number,
): Promise<string> {
  if (decision.kind === 'ignore') return 'ignored';
  if (decision.kind === 'dead') return dead(ports, definition, message, decision.error);
  if (decision.kind === 'collect') return collect(ports, decision.message);
  const { runId, body, span } = decision;
  try {
    const run = { workflow: definition.name, runId };
    const stored = await ports.journal.send(run, body, { msgId: `start:${runId}` });
    if (stored.duplicate) return 'duplicate';
  } catch (error) {
    if (isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')) return dead(ports, definition, message, error);
    throw error;
  }
  if (span.sampled) {
    ports.telemetry.tracer.record({
      name: `trigger ${definition.name}`,
      traceId: span.traceId,
      spanId: span.spanId,
      parentSpanId: span.parentSpanId,
      kind: 'consumer',
      startMs: begun,
      endMs: ports.clock.now(),
      attributes: {
        'millrace.workflow': definition.name,
        'millrace.run': runId,
        'messaging.system': 'nats',
        'messaging.destination.name': message.subject,
        'messaging.message.id': `${message.stream}:${message.sequence}`,
      },
    });
  }
  return 'started';
}

async function collect({ door }: TriggerPorts, { subject, msgId, body }: AskMessage): Promise<string> {
  const { duplicate } = await door.js.publish(subject, JSON.stringify(body), { msgID: msgId });
  return duplicate ? 'duplicate' : 'gathered';
}

async function dead(
  { outbox, telemetry }: TriggerPorts,
  definition: Definition,
  message: TriggerMessage,
  error: MillraceError,
): Promise<string> {
  const { stream, sequence, subject, data, headers } = message;
  telemetry.log.warn(
    { workflow: definition.name, stream, sequence, code: error.code },
    `dead letter: ${error.message}`,
  );
  await outbox.deadLetter({
    kind: 'trigger',
    workflow: definition.name,
    id: `${stream}-${sequence}`,
    code: error.code,
    reason: error.message,
    origin: { stream, sequence, subject },
    data,
    headers,
  });
  return 'dead';
}
