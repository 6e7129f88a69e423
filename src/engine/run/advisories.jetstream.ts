/**
 * Turns the server's "I gave up delivering" into something somebody sees: an input of the run that waits, and a dead
 * letter. The advisories are kept in a stream, so that none is lost while no controller runs.
 */
import { JetStreamApiError, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import {
  consumeDurable,
  type Delivered,
  type DurableConsumption,
  type NatsDoor,
  plainHeaders,
} from '../../drivers/index.ts';
import { ADVISORY_CONSUMER, messageOf, STREAMS } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { giveBackMs } from '../journal/give-back.ts';
import type { Journal } from '../journal/port.ts';
import type { Definition } from '../model/index.ts';
import { type Exhausted, judgeExhausted, parseAdvisory } from './exhausted.ts';
import type { Outbox } from './ports.ts';

export interface AdvisoryPorts {
  readonly door: NatsDoor;
  readonly journal: Journal;
  readonly outbox: Outbox;
  readonly telemetry: Telemetry;
  /** The workflows whose triggers are known now. */
  readonly definitions: () => readonly Definition[];
}

export function consumeAdvisories(ports: AdvisoryPorts): DurableConsumption {
  const { door, telemetry } = ports;
  return consumeDurable({
    door,
    stream: STREAMS.advisories,
    consumer: ADVISORY_CONSUMER,
    maxInFlight: 16,
    handle: (msg) => onAdvisory(ports, msg),
    report: (message, error) => telemetry.log.warn({ err: error }, message),
  });
}

async function onAdvisory(ports: AdvisoryPorts, msg: Delivered): Promise<void> {
  const advisory = parseAdvisory(msg.string());
  if (advisory === undefined) return msg.term('not an advisory');
  try {
    await settle(ports, advisory);
    msg.ack();
  } catch (error) {
    ports.telemetry.log.warn({ ...advisory, err: error }, `exhausted message not settled yet: ${messageOf(error)}`);
    msg.nak(giveBackMs(msg.deliveries));
  }
}

async function settle({ door, journal, outbox, telemetry, definitions }: AdvisoryPorts, advisory: Exhausted) {
  const { stream, sequence } = advisory;
  const message = await read(door.jsm, stream, sequence);
  if (message === null) return; // it was acknowledged after all, or its stream is gone
  const { subject, data } = message;
  const verdict = judgeExhausted(advisory, { subject, data }, definitions());
  if (verdict === undefined) return;
  const { tell, remove, reason, kind, workflow, id, runId, code } = verdict;
  telemetry.log.warn({ ...advisory, workflow, runId }, reason);
  telemetry.metrics.count('millrace_exhausted_total', { kind });
  if (tell !== undefined) await journal.send(tell.run, tell.body, { msgId: tell.msgId });
  const headers = plainHeaders(message.header);
  await outbox.deadLetter({
    kind,
    workflow,
    id,
    runId,
    code,
    reason,
    origin: { stream, sequence, subject },
    data,
    headers,
  });
  if (remove) await removeMessage(door.jsm, stream, sequence);
}

async function read(jsm: JetStreamManager, stream: string, seq: number): Promise<StoredMsg | null> {
  try {
    return await jsm.streams.getMessage(stream, { seq });
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

async function removeMessage(jsm: JetStreamManager, stream: string, seq: number): Promise<void> {
  try {
    await jsm.streams.deleteMessage(stream, seq, false);
  } catch (error) {
    if (!isGone(error) && !(error instanceof JetStreamApiError && error.code === SEQUENCE_NOT_FOUND)) throw error;
  }
}

const SEQUENCE_NOT_FOUND = 10043;

function isGone(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.status === 404;
}
