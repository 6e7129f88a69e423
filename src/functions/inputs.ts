/** What an input means to a run that is in this process. */
import type { InputBody } from '../engine/index.ts';
import { cancelledBy } from './records.ts';
import type { Runtime } from './runtime.ts';
import type { Batch, HeldInput } from './tail.ts';

/** When an input is looked at again that came while the run was ending, in ms. */
const ENDING_MS = 50;

/** See {@link Runtime.take}. */
export function takeInput(execution: Runtime, input: HeldInput, body: InputBody): void {
  // It has ended, only not in the log yet: then is soon enough to see what the input means to an ended run.
  if (execution.returned) return input.nak(ENDING_MS);
  const { tail } = execution;
  const before = tail.cause;
  tail.cause = input.seq;
  const batch = push(execution, input.seq, body);
  if (batch !== undefined) {
    batch.inputs.push(input);
    return execution.order.schedule();
  }
  tail.cause = before;
  input.ack();
}

/** The batch that its transitions are in; undefined when it means nothing. */
function push(execution: Runtime, seq: number, body: InputBody): Batch | undefined {
  const { waits } = execution;
  switch (body.kind) {
    case 'signal': {
      if (waits.awaits(body.name)) wake(execution, seq);
      const by = body.by === undefined ? {} : { by: body.by };
      const batch = execution.push({ type: 'SignalReceived', name: body.name, payload: body.payload, ...by });
      waits.signal(body.name, body.payload);
      return batch;
    }
    case 'timer': {
      if (!waits.isSet(body.timer)) return undefined;
      wake(execution, seq);
      const batch = execution.push({ type: 'TimerFired', timer: body.timer });
      waits.fired(body.timer);
      return batch;
    }
    case 'resume': {
      if (!execution.pauses.waits(body.step)) return undefined;
      wake(execution, seq);
      return execution.pauses.resume(body.step, body.by);
    }
    case 'child': {
      const { children } = execution;
      if (!children.awaits(body.step, body.runId)) return undefined;
      wake(execution, seq);
      return children.ended(body.step, body.ending);
    }
    case 'cancel':
    case 'kill':
      execution.callOff();
      return execution.finish(cancelledBy(body));
    default:
      return undefined;
  }
}

/** The input that wakes it is its lease from here on. */
function wake(execution: Runtime, seq: number): void {
  if (!execution.resting) return;
  execution.resting = false;
  execution.lease = seq;
  execution.waits.rearm();
  execution.push({ type: 'RunClaimed', worker: execution.worker });
}
