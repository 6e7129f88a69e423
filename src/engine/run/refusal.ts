/** What happens to a run when an input's meaning is too large for one message. Pure. */
import type { MillraceError } from '../../kernel/index.ts';
import { type Failure, type InputBody, isEnded, type RunState } from '../model/index.ts';

/** The input that takes the place of the one that does not fit; undefined when the run does not wait for it. */
export function consequenceOf(state: RunState, body: InputBody, error: MillraceError): InputBody | undefined {
  const failure: Failure = {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    retryable: false,
    lost: false,
  };
  switch (body.kind) {
    case 'task.succeeded':
    case 'task.failed':
      // Not even its failure fits: what follows from it does not. Failing it once more would go round for ever.
      if (body.kind === 'task.failed' && body.error.code === error.code) return cancelOf(state, error);
      return { v: 1, kind: 'task.failed', step: body.step, attempt: body.attempt, error: failure };
    case 'flow': {
      const { step, attempt, source, state: flow } = body;
      const failed = { type: 'FAILED', name: 'Failed', message: error.message, at: flow.at } as const;
      // No flow run is named: Prefect's own state is not what failed, and must not be noted as if it were.
      return { v: 1, kind: 'flow', step, attempt, flowRunId: '', source, state: failed, error: failure };
    }
    case 'start':
      return undefined; // there is no run; its dead letter is all there is to say
    case 'child': {
      const { ending } = body;
      if (ending.status === 'failed' && ending.error.code === error.code) return cancelOf(state, error);
      return { ...body, ending: { status: 'failed', error: failure } };
    }
    default:
      return cancelOf(state, error);
  }
}

function cancelOf(state: RunState, error: MillraceError): InputBody | undefined {
  if (state.status === 'new' || isEnded(state)) return undefined;
  return { v: 1, kind: 'cancel', reason: `${error.code}: ${error.message}`, by: 'millrace' };
}
