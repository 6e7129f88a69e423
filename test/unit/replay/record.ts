/** Makes journals as the engine would: each input is decided, what it changes becomes an entry. */
import {
  type Definition,
  decide,
  evolveEntry,
  type InputBody,
  newRun,
  type RunState,
  type StoredEntry,
  type StoredInput,
} from '../../../src/engine/index.ts';
import { type Recording, readInputBody, type Verification, verifyRun } from '../../../src/replay/index.ts';
import { define, workerStep } from '../../kit/index.ts';

export const T0 = 1_700_000_000_000;
const encoder = new TextEncoder();

/** Two worker steps, then a wait for a signal. */
export const flow: Definition = define('flow', [
  workerStep('load'),
  workerStep('check', ['load']),
  {
    ...workerStep('approve', ['check']),
    action: { kind: 'signal', name: 'go', timeoutMs: 60_000, onTimeout: 'continue' },
  },
]);

export const start = (payload: Record<string, number> = { n: 1 }): InputBody => ({
  v: 1,
  kind: 'start',
  digest: flow.digest,
  payload,
  by: 'anna',
});
export const succeeded = (step: string, attempt = 1): InputBody => ({
  v: 1,
  kind: 'task.succeeded',
  step,
  attempt,
  output: { from: step },
});
export const failed = (step: string, attempt = 1): InputBody => ({
  v: 1,
  kind: 'task.failed',
  step,
  attempt,
  error: { code: 'MR_STEP_FAILED', message: `${step} is broken`, retryable: true, lost: false },
});

export interface Recorded extends Recording {
  readonly state: RunState;
}

/** Inputs get odd sequences, entries the even ones after them. A string stands for bytes that are no input. */
export function record(bodies: readonly (InputBody | string)[], definition: Definition = flow): Recorded {
  const run = { workflow: definition.name, runId: 'r1' };
  const inputs: StoredInput[] = [];
  const entries: StoredEntry[] = [];
  let state = newRun(run.workflow, run.runId);
  bodies.forEach((body, index) => {
    const seq = 2 * index + 1;
    const at = T0 + 1_000 * index;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    inputs.push({ run, seq, at, data: encoder.encode(text), headers: {} });
    if (typeof body === 'string') return;
    const transitions = decide(definition, state, { seq, at, body });
    if (transitions.length === 0) return;
    const entry: StoredEntry = { v: 1, cause: seq, at, transitions, seq: seq + 1 };
    entries.push(entry);
    state = evolveEntry(state, entry);
  });
  return { run, inputs, entries, state };
}

export const verify = (recording: Recording, ...known: readonly Definition[]): Verification =>
  verifyRun(recording, readInputBody, (digest) => [flow, ...known].find((definition) => definition.digest === digest));

/** A retry, a late duplicate and poison are in it; it ends completed. */
export const whole = (): Recorded =>
  record([
    start(),
    failed('load'),
    { v: 1, kind: 'timer', timer: 'retry/load/1' },
    succeeded('load', 2),
    succeeded('load', 2),
    'not json',
    succeeded('check'),
    { v: 1, kind: 'signal', name: 'go', payload: true },
  ]);
