/** What happened, as sentences for people. */
import type { Transition } from '../engine/index.ts';
import { formatDuration, unreachable } from '../kernel/index.ts';

const attempt = (t: { readonly step: string; readonly attempt: number }): string =>
  t.attempt === 1 ? t.step : `${t.step} (attempt ${t.attempt})`;

const by = (t: { readonly by?: string }): string => (t.by === undefined ? '' : ` by ${t.by}`);

function stepText(t: Transition, at: number): string {
  switch (t.type) {
    case 'StepScheduled':
      return t.child === undefined
        ? `${attempt(t)} handed out`
        : `${attempt(t)}: child run ${t.child.runId} of ${t.child.workflow}`;
    case 'StepStarted':
      return `${attempt(t)} begun by ${t.worker}`;
    case 'FlowStateChanged':
      return `${attempt(t)}: flow run ${t.flowRunId} is ${t.state.name} (told by ${t.source})`;
    case 'StepRetryScheduled':
      return `${attempt(t)} failed: ${t.error.message}; next attempt in ${formatDuration(t.retryAt - at)}`;
    case 'StepCompleted':
      return `${attempt(t)} completed`;
    case 'StepFailed':
      return `${attempt(t)} failed for good: ${t.error.message}`;
    case 'StepSkipped':
      return `${t.step} skipped: ${t.reason}`;
    case 'StepCancelled':
      return `${attempt(t)} cancelled: ${t.reason}`;
    case 'StepFannedOut':
      return `${attempt(t)}: ${t.count} ${t.count === 1 ? 'item' : 'items'}`;
    case 'ChildEnded':
      return `${attempt(t)}: child run ${t.runId} ${t.ending.status}`;
    case 'StepHeartbeat':
      return `${attempt(t)} is alive${t.details === undefined ? '' : `: ${JSON.stringify(t.details)}`}`;
    case 'StepPaused':
      return `${attempt(t)} paused until a person resumes it: ${t.error.message}`;
    case 'StepResumed':
      return `${t.step} resumed${by(t)}`;
    case 'SleepStarted':
      return `${attempt(t)} sleeps`;
    case 'SignalAwaited':
      return `${attempt(t)} waits for signal ${t.name}`;
    default:
      return t.type;
  }
}

function runText(t: Transition): string {
  switch (t.type) {
    case 'RunQueued':
      return `waits for a slot of ${t.limits.map(({ limit, key }) => (key === '' ? limit : `${limit} (${key})`)).join(', ')}`;
    case 'SlotGranted':
      return `slot of ${t.slot.limit} granted`;
    case 'RunAdmitted':
      return 'admitted';
    case 'AttributesSet':
      return `attributes: ${JSON.stringify(t.attributes)}`;
    case 'PatchApplied':
      return `patch ${t.id} applied`;
    case 'UpdateReceived':
      return `update ${t.name} received${by(t)} (${t.id})`;
    case 'UpdateEnded':
      return t.error === undefined ? `update ${t.id} answered` : `update ${t.id} failed: ${t.error.message}`;
    case 'RunClosing':
      return t.outcome === 'failed'
        ? `is to fail: ${t.error?.message ?? ''}`
        : `is to be cancelled${by(t)}: ${t.reason ?? ''}`;
    case 'RunMoved':
      return `goes on by definition ${t.digest}${by(t)}`;
    case 'RunContinued':
      return `continued as new, generation ${t.generation}`;
    default:
      return t.type;
  }
}

/** The transition as a sentence. */
export function transitionText(t: Transition, at: number): string {
  switch (t.type) {
    case 'RunQueued':
    case 'SlotGranted':
    case 'RunAdmitted':
    case 'AttributesSet':
    case 'PatchApplied':
    case 'UpdateReceived':
    case 'UpdateEnded':
    case 'RunClosing':
    case 'RunContinued':
    case 'RunMoved':
      return runText(t);
    case 'RunStarted':
      return t.source === undefined
        ? `run started${by(t)}`
        : `run started by ${t.source.subject} (${t.source.stream}#${t.source.sequence}, trigger ${t.source.trigger})`;
    case 'TimerSet':
      return `timer ${t.timer} set, due in ${formatDuration(t.at - at)}`;
    case 'TimerFired':
      return `timer ${t.timer} fired`;
    case 'TimerCancelled':
      return `timer ${t.timer} cancelled`;
    case 'SignalReceived':
      return `signal ${t.name} received${t.by === undefined ? '' : ` from ${t.by}`}`;
    case 'SignalConsumed':
      return `signal ${t.name} taken by ${t.step}`;
    case 'RunClaimed':
      return `taken over by ${t.worker}`;
    case 'RunSuspended':
      return 'waits; nothing of it executes';
    case 'RunCompleted':
      return 'run completed';
    case 'RunFailed':
      return `run failed: ${t.error.message} (${t.error.code})`;
    case 'RunCancelled':
      return `run ${t.killed === true ? 'killed' : 'cancelled'}${by(t)}: ${t.reason}`;
    case 'RunRetried':
      return `run retried${by(t)}: ${t.steps.join(', ') || 'no step'}`;
    case 'StepScheduled':
    case 'StepFannedOut':
    case 'ChildEnded':
    case 'StepHeartbeat':
    case 'StepPaused':
    case 'StepResumed':
    case 'StepStarted':
    case 'FlowStateChanged':
    case 'StepRetryScheduled':
    case 'StepCompleted':
    case 'StepFailed':
    case 'StepSkipped':
    case 'StepCancelled':
    case 'SleepStarted':
    case 'SignalAwaited':
      return stepText(t, at);
    default:
      return unreachable(t);
  }
}
