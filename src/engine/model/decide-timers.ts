/** Timers that fired. Internal to the model. */
import { unreachable } from '../../kernel/index.ts';
import { advance } from './advance.ts';
import { completeAttempt, failAttempt, retryAttempt } from './attempts.ts';
import { closeRun, failStep, graceOver } from './closing.ts';
import type { StepDefinition } from './definition.ts';
import { findStep } from './definition-index.ts';
import type { Draft } from './draft.ts';
import type { BodyOf, Failure } from './inputs.ts';
import { itemAt } from './state.ts';
import { parseTimer, type StepTimer } from './timers.ts';

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
  const error = { code: 'MR_RUN_TIMEOUT', message, retryable: false, lost: false };
  closeRun(draft, { outcome: 'failed', error }, message);
}

/** The failure of an attempt that took too long in some way. */
function late(step: StepDefinition, kind: 'timeout' | 'queue' | 'heartbeat', attempt: number): Failure {
  switch (kind) {
    case 'timeout': {
      const message = `attempt ${attempt} did not end within ${step.timeoutMs ?? 0} ms`;
      return { code: 'MR_STEP_TIMEOUT', message, retryable: true, lost: false };
    }
    case 'queue': {
      const message = `no worker began attempt ${attempt} within ${step.queueTimeoutMs ?? 0} ms`;
      const hint = 'see whether workers take from its queue, and whether there are enough of them';
      // Another attempt would stand in the same queue, behind the others.
      return { code: 'MR_QUEUE_TIMEOUT', message, hint, retryable: false, lost: false };
    }
    case 'heartbeat': {
      const message = `nothing was heard of attempt ${attempt} for ${step.heartbeatTimeoutMs ?? 0} ms`;
      return { code: 'MR_HEARTBEAT_TIMEOUT', message, retryable: true, lost: true };
    }
    default:
      return unreachable(kind);
  }
}

export function timer(draft: Draft, { timer: id, at }: BodyOf<'timer'>): void {
  const name = parseTimer(id);
  const due = draft.state.timers[id];
  if (name === undefined || due === undefined || draft.state.status !== 'running') return;
  // It was moved, and this is its old firing. A sender that was slow may have put the old time in the place of the new one.
  if (at !== undefined && at !== due) return draft.emit({ type: 'TimerSet', timer: id, at: due });
  draft.emit({ type: 'TimerFired', timer: id });
  if ('retries' in name) return name.kind === 'run' ? runTimeout(draft) : graceOver(draft);
  const step = findStep(draft.definition, name.step);
  if (step !== undefined) stepTimer(draft, step, name);
}

function stepTimer(draft: Draft, step: StepDefinition, { kind, attempt }: { kind: StepTimer; attempt: number }): void {
  switch (kind) {
    case 'sleep':
      completeAttempt(draft, step, null);
      return advance(draft);
    case 'retry':
      return retryAttempt(draft, step);
    case 'signal':
      return signalTimeout(draft, step, attempt);
    case 'timeout':
    case 'queue':
    case 'heartbeat':
      return failAttempt(draft, step, late(step, kind, attempt));
    case 'items':
      draft.fans.set(itemAt(step.name)?.step ?? step.name, []);
      return advance(draft);
    default:
      return unreachable(kind);
  }
}
