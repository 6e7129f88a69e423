/** Timers that fired. Internal to the model. */
import { unreachable } from '../../kernel/index.ts';
import { advance } from './advance.ts';
import { completeAttempt, failAttempt, retryAttempt } from './attempts.ts';
import { closeOpenSteps, failStep } from './closing.ts';
import type { StepDefinition } from './definition.ts';
import { findStep } from './definition-index.ts';
import type { Draft } from './draft.ts';
import { parseTimer } from './timers.ts';

function signalTimeout(draft: Draft, step: StepDefinition, attempt: number): void {
  if (step.action.kind !== 'signal') return;
  if (step.action.onTimeout === 'continue') {
    completeAttempt(draft, step, { received: false, payload: null });
    return advance(draft);
  }
  const message = `no signal "${step.action.name}" came within ${step.action.timeoutMs ?? 0} ms`;
  failStep(draft, step, attempt, { code: 'MR_SIGNAL_TIMEOUT', message, retryable: false, lost: false });
}

function runTimeout(draft: Draft): void {
  const message = `the run did not end within ${draft.definition.timeoutMs ?? 0} ms`;
  closeOpenSteps(draft, message);
  draft.emit({ type: 'RunFailed', error: { code: 'MR_RUN_TIMEOUT', message, retryable: false, lost: false } });
}

export function timer(draft: Draft, id: string): void {
  const name = parseTimer(id);
  if (name === undefined || draft.state.timers[id] === undefined || draft.state.status !== 'running') return;
  draft.emit({ type: 'TimerFired', timer: id });
  if (name.kind === 'run') return runTimeout(draft);
  if ('retries' in name) return;
  const step = findStep(draft.definition, name.step);
  if (step === undefined) return;
  switch (name.kind) {
    case 'sleep':
      completeAttempt(draft, step, null);
      return advance(draft);
    case 'retry':
      return retryAttempt(draft, step);
    case 'signal':
      return signalTimeout(draft, step, name.attempt);
    case 'timeout': {
      const message = `attempt ${name.attempt} did not end within ${step.timeoutMs ?? 0} ms`;
      return failAttempt(draft, step, { code: 'MR_STEP_TIMEOUT', message, retryable: true, lost: false });
    }
    case 'queue':
    case 'heartbeat':
    case 'items':
      return;
    default:
      return unreachable(name);
  }
}
