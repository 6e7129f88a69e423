/**
 * Forwards fired timers to the runs that set them.
 *
 * Boundary: reads `timer.fired.*.*`, writes inputs. The server drops the message id of a schedule when it fires, so the
 * input's id is made from what the message says; a run that no longer waits for the timer ignores it.
 */

import { consumeDurable, type Delivered, type DurableConsumption, type NatsDoor } from '../../drivers/index.ts';
import { isObject, messageOf, parseTimerFired, STREAMS, TIMER_CONSUMER } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { giveBackMs } from '../journal/give-back.ts';
import type { Journal } from '../journal/port.ts';

export interface TimerPorts {
  readonly door: NatsDoor;
  readonly journal: Journal;
  readonly telemetry: Telemetry;
}

export function forwardTimers(ports: TimerPorts): DurableConsumption {
  const { door, telemetry } = ports;
  return consumeDurable({
    door,
    stream: STREAMS.timers,
    consumer: TIMER_CONSUMER,
    maxInFlight: 64,
    handle: (msg) => forward(ports, msg),
    report: (message, error) => telemetry.log.warn({ err: error }, message),
  });
}

async function forward({ door, journal, telemetry }: TimerPorts, msg: Delivered): Promise<void> {
  const run = parseTimerFired(msg.subject);
  const fired = firedOf(msg);
  if (run === undefined || fired === undefined) {
    telemetry.log.warn({ subject: msg.subject, seq: msg.seq }, 'a fired timer that nobody set');
    return msg.term('not a timer');
  }
  const { timer, at } = fired;
  const body = { v: 1, kind: 'timer', ...fired } as const;
  try {
    // A timer that was moved fires once for each time it was set to.
    const msgId = at === undefined ? `timer:${run.runId}:${timer}` : `timer:${run.runId}:${timer}:${at}`;
    await journal.send(run, body, { msgId });
  } catch (error) {
    telemetry.log.warn({ ...run, timer, err: error }, `timer not forwarded yet: ${messageOf(error)}`);
    return msg.nak(giveBackMs(msg.deliveries));
  }
  telemetry.metrics.count('millrace_engine_timers_fired_total', { workflow: run.workflow });
  msg.ack();
  // The stream keeps schedules for as long as they take; what has fired and arrived is of no use to anyone.
  door.jsm.streams.deleteMessage(STREAMS.timers, msg.seq, false).catch(() => undefined);
}

function firedOf(msg: Delivered): { readonly timer: string; readonly at?: number } | undefined {
  try {
    const value: unknown = msg.json();
    if (!isObject(value) || typeof value['timer'] !== 'string') return undefined;
    const { timer, at } = value;
    return typeof at === 'number' ? { timer, at } : { timer };
  } catch {
    return undefined;
  }
}
