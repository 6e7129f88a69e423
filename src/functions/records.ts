/** What an input leaves in the log where no execution takes it. Pure. */
import type { InputBody, Transition } from '../engine/index.ts';
import { pausedSteps } from './pauses.ts';
import { openEnds, type Recall } from './recall.ts';

/** An input of one kind. */
export type Body<K extends InputBody['kind']> = Extract<InputBody, { kind: K }>;

/** What an input means that no execution takes: the entry says that it came. */
export function recordOf({ state }: Recall, body: InputBody): Transition[] {
  switch (body.kind) {
    case 'signal':
      return [
        {
          type: 'SignalReceived',
          name: body.name,
          payload: body.payload,
          ...(body.by === undefined ? {} : { by: body.by }),
        },
      ];
    case 'child': {
      const { step, attempt, runId, ending } = body;
      return [{ type: 'ChildEnded', step, attempt, runId, ending }];
    }
    case 'timer':
      return [{ type: 'TimerFired', timer: body.timer }];
    case 'resume': {
      const by = body.by === undefined ? {} : { by: body.by };
      return pausedSteps(state.steps, body.step).map((step): Transition => ({ type: 'StepResumed', step, ...by }));
    }
    case 'cancel':
    case 'kill':
      return [...openEnds(state, body.reason), cancelledBy(body)];
    default:
      return [];
  }
}

/** The end that a cancel or a kill is. */
export function cancelledBy(body: Body<'cancel' | 'kill'>): Transition {
  return {
    type: 'RunCancelled',
    reason: body.reason,
    ...(body.by === undefined ? {} : { by: body.by }),
    ...(body.kind === 'kill' ? { killed: true } : {}),
  };
}

/** Whether the input means something to a run that has begun and not ended. */
export function means({ state }: Recall, body: InputBody): boolean {
  switch (body.kind) {
    case 'signal':
    case 'cancel':
    case 'kill':
      return true;
    case 'timer':
      return state.timers[body.timer] !== undefined;
    case 'resume':
      return pausedSteps(state.steps, body.step).length > 0;
    case 'child': {
      const step = Object.hasOwn(state.steps, body.step) ? state.steps[body.step] : undefined;
      return step?.status === 'scheduled' && step.child?.runId === body.runId && step.ending === undefined;
    }
    default:
      return false;
  }
}

/** How a run begins. */
export function startedOf(body: Body<'start'>, worker: string): Extract<Transition, { type: 'RunStarted' }> {
  const { digest, payload, source, by, notify, trace, parent, attributes, priority } = body;
  return {
    type: 'RunStarted',
    digest,
    payload,
    worker,
    ...(trace === undefined ? {} : { trace }),
    ...(source === undefined ? {} : { source }),
    ...(by === undefined ? {} : { by }),
    ...(notify === undefined ? {} : { notify }),
    ...(parent === undefined ? {} : { parent }),
    ...(attributes === undefined ? {} : { attributes }),
    ...(priority === undefined ? {} : { priority }),
  };
}

/** Takes back the failure that ended the run, and what its end cancelled; failures that the code has dealt with stay. */
export function retried({ state }: Recall, body: Body<'retry'>): Transition {
  const steps = Object.values(state.steps)
    .filter(({ name, status }) => status === 'cancelled' || (status === 'failed' && name === state.failedStep))
    .map(({ name }) => name);
  return { type: 'RunRetried', steps, ...(body.by === undefined ? {} : { by: body.by }) };
}
