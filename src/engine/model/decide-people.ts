/** What people tell a run: a signal, a retry. Internal to the model. */
import { advance, giveSignal } from './advance.ts';
import type { Draft } from './draft.ts';
import type { BodyOf } from './inputs.ts';
import { stepOf } from './state.ts';

export function signal(draft: Draft, body: BodyOf<'signal'>): void {
  // A failed or cancelled run may be retried by hand, so its signals wait; nothing can take one of a completed run.
  if (draft.state.status === 'completed') return;
  const by = body.by === undefined ? {} : { by: body.by };
  draft.emit({ type: 'SignalReceived', name: body.name, payload: body.payload, ...by });
  if (draft.state.status !== 'running') return;
  for (const step of draft.index.signals) giveSignal(draft, step);
  advance(draft);
}

export function retry(draft: Draft, body: BodyOf<'retry'>): void {
  if (draft.state.status !== 'failed' && draft.state.status !== 'cancelled') return;
  const steps = draft.definition.steps
    .filter(({ name }) => ['failed', 'cancelled'].includes(stepOf(draft.state, name).status))
    .map(({ name }) => name);
  draft.emit({ type: 'RunRetried', steps, ...(body.by === undefined ? {} : { by: body.by }) });
  const { timeoutMs } = draft.definition;
  if (timeoutMs !== undefined) draft.setTimer({ kind: 'run', retries: draft.state.retries }, timeoutMs);
  advance(draft);
}
