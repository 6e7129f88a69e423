/** Reports of flow runs' states, from hosts, Prefect's events and the reconciler. Internal to the model. */
import { advance } from './advance.ts';
import { cancelAttempt, completeAttempt, failAttempt } from './attempts.ts';
import { cancelRun } from './closing.ts';
import { out } from './decide-tasks.ts';
import { findStep } from './definition-index.ts';
import type { Draft } from './draft.ts';
import { type BodyOf, type Failure, TERMINAL_FLOW_STATES } from './inputs.ts';
import { begun } from './start-attempt.ts';
import { type FlowBinding, stepOf } from './state.ts';

function flowFailure(body: BodyOf<'flow'>): Failure {
  if (body.error !== undefined) return body.error;
  const lost = body.state.type === 'CRASHED';
  const message = body.state.message ?? `the flow run ended ${body.state.name}`;
  return { code: lost ? 'MR_STEP_LOST' : 'MR_STEP_FAILED', message, retryable: true, lost };
}

/** `true` when the report says more than is known: reports of three sources come twice and out of order. */
function isNews(known: FlowBinding | undefined, { flowRunId, state }: BodyOf<'flow'>): boolean {
  if (known === undefined) return true;
  const same = known.flowRunId === flowRunId && known.state.type === state.type && known.state.name === state.name;
  if (same) return false;
  const ended = TERMINAL_FLOW_STATES.has(known.state.type);
  const ends = TERMINAL_FLOW_STATES.has(state.type);
  // The end of a flow run is news whatever its clock says: hosts' clocks differ. Two ends (a flow run retried by hand in
  // Prefect, a forced CRASHED) are ordered by their times, and an end is never taken back.
  if (ends && !ended) return true;
  return ends === ended && state.at >= known.state.at;
}

export function flow(draft: Draft, body: BodyOf<'flow'>): void {
  const { step: name, attempt, flowRunId, state, source } = body;
  const known = stepOf(draft.state, name);
  if (findStep(draft.definition, name)?.action.kind !== 'prefect' || attempt > known.attempt) return;
  // An attempt that is over is still noted: the log says how its flow run ended, so both sides can be compared.
  const step = out(draft, body, ['prefect']);
  if (flowRunId !== '' && isNews(known.flows[attempt], body)) {
    draft.emit({ type: 'FlowStateChanged', step: name, attempt, flowRunId, state, source });
  }
  if (step === undefined) return;
  switch (body.state.type) {
    case 'RUNNING':
      return begun(draft, step, body.attempt, `prefect:${body.flowRunId}`);
    case 'COMPLETED':
      completeAttempt(draft, step, body.result ?? null);
      return advance(draft);
    case 'FAILED':
    case 'CRASHED':
      return failAttempt(draft, step, flowFailure(body));
    case 'CANCELLED': {
      const reason = body.state.message ?? 'the flow run was cancelled in Prefect';
      if (draft.state.closing !== undefined) return cancelAttempt(draft, name, reason);
      return cancelRun(draft, { reason, by: 'prefect', ended: name });
    }
    default:
      return;
  }
}
