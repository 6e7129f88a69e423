/** Child runs: what is started, what its end means to the step, what a child tells its parent, how deep they may go. */
import { describe, expect, test } from 'vitest';
import { childRef, type InputBody, type Parent, type StepAction } from '../../../src/engine/index.ts';
import {
  cancelled,
  failed,
  failure,
  fired,
  given,
  RUN_ID,
  retried,
  started,
  succeeded,
  TRACE,
} from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

type Child = Extract<StepAction, { kind: 'child' }>;
const run = (more: Partial<Child> = {}): Child => ({
  kind: 'child',
  workflow: 'sub',
  onClose: 'cancel',
  wait: true,
  ...more,
});
const retry = { ...PATIENT, maxAttempts: 2 };
const step = (action: Child) => ({ name: 'c', needs: [], action, retry });
const waits = define('waits', [step(run()), workerStep('z', ['c'])]);
const ref = (workflow: string, attempt: number, action = run()) =>
  childRef({ workflow, runId: RUN_ID }, action, 'c', attempt);
const input = { payload: null, steps: {} };

const told = (workflow: string, attempt: number, ending: object, runId = ref(workflow, attempt).runId): InputBody =>
  ({ v: 1, kind: 'child', step: 'c', attempt, workflow: 'sub', runId, ending }) as InputBody;
const output = { status: 'completed', output: { n: 1 } };

describe('a step that is a child run', () => {
  test('starts it and completes with its output', () => {
    const child = ref('waits', 1);
    given(waits)
      .when(started())
      .stores(
        { type: 'RunStarted', digest: waits.digest, payload: null, trace: TRACE },
        { type: 'StepScheduled', step: 'c', attempt: 1, input, child },
      )
      .commands([{ kind: 'child', child, step: 'c', attempt: 1, payload: input }])
      .when(told('waits', 1, output))
      .stores(
        { type: 'StepCompleted', step: 'c', attempt: 1, output: { n: 1 } },
        { type: 'StepScheduled', step: 'z', attempt: 1, input: { payload: null, steps: { c: { n: 1 } } } },
      )
      .when(told('waits', 1, output))
      .storesNothing();
  });

  test('fails with its failure, which the policy of the step counts; the next attempt is another run', () => {
    const ending = { status: 'failed', error: failure() } as const;
    const message = `child run ${ref('waits', 1).runId} of sub: no`;
    const outcome = given(waits, started()).when(told('waits', 1, ending));
    const { entries } = outcome.story;
    expect(entries.at(-1)?.transitions.slice(0, 2)).toMatchObject([
      { type: 'ChildEnded', step: 'c', attempt: 1, runId: ref('waits', 1).runId, ending },
      { type: 'StepRetryScheduled', step: 'c', attempt: 1, error: failure({ message }) },
    ]);
    // The child has ended: there is nothing to close.
    outcome.commands([{ kind: 'timer', timer: 'retry/c/1', at: expect.any(Number) }]);
    const again = outcome.when(fired('retry/c/1'));
    expect(ref('waits', 2).runId).not.toBe(ref('waits', 1).runId);
    again.commands([{ kind: 'child', child: ref('waits', 2), step: 'c', attempt: 2, payload: input }]);
    again.when(told('waits', 1, output)).storesNothing(); // the first one, retried by hand, comes too late
    again.when(told('waits', 2, ending)).leaves('failed', { c: 'failed 2' });
  });

  test('fails at once when it was cancelled, or failed for a reason that no attempt can help', () => {
    const code = (ending: object) => given(waits, started()).when(told('waits', 1, ending)).story.state.error?.code;
    expect(code({ status: 'cancelled', reason: 'enough' })).toBe('MR_CHILD_CANCELLED');
    expect(code({ status: 'failed', error: failure({ code: 'MR_RUN_TIMEOUT', retryable: false }) })).toBe(
      'MR_RUN_TIMEOUT',
    );
  });

  test('takes no word of another run, another attempt, or of a step that is no child', () => {
    given(waits, started())
      .when(told('waits', 1, output, 'other'))
      .storesNothing();
    given(waits, started())
      .when(told('waits', 2, output))
      .storesNothing();
    given(waits, started())
      .when(succeeded('c', 1, 5))
      .storesNothing();
    given(define('plain', [workerStep('c')]), started())
      .when(told('plain', 1, output))
      .storesNothing();
  });

  test('ends its child when it is cancelled or runs out of time, unless it is to be left alone', () => {
    const close = (child = ref('waits', 1), reason = 'enough') => ({ kind: 'child.close', child, reason, kill: false });
    given(waits, started())
      .when(cancelled())
      .commands([close() as never]);
    const action = run({ onClose: 'abandon' });
    given(define('alone', [step(action)]), started())
      .when(cancelled())
      .commands([]);
    const timed = define('timed', [{ ...step(run()), timeoutMs: 1_000 }]);
    const reason = 'attempt 1 did not end within 1000 ms';
    given(timed, started())
      .when(fired('timeout/c/1'))
      .commands([
        close(ref('timed', 1), reason) as never,
        { kind: 'timer', timer: 'retry/c/1', at: expect.any(Number) },
      ]);
  });

  test('is killed with its parent, and has the grace time to end when that is cancelled so', () => {
    const child = ref('waits', 1);
    const kill: InputBody = { v: 1, kind: 'kill', reason: 'now' };
    given(waits, started())
      .when(kill)
      .commands([{ kind: 'child.close', child, reason: 'now', kill: true }]);
    const grace = given(waits, started()).when({ v: 1, kind: 'cancel', reason: 'enough', graceMs: 5_000 });
    grace.commands([
      { kind: 'child.close', child, reason: 'enough', kill: false },
      { kind: 'timer', timer: 'grace/0', at: expect.any(Number) },
    ]);
    grace.leaves('running', { c: 'scheduled 1' }, ['grace/0']);
    const ended = grace.when(told('waits', 1, { status: 'cancelled', reason: 'enough' }));
    ended.commands([{ kind: 'timer.cancel', timer: 'grace/0' }]).leaves('cancelled', { c: 'cancelled 1' });
  });

  test('that nobody waits for completes with its id once it is started, and is not ended with its parent', () => {
    const action = run({ wait: false, onClose: 'abandon' });
    const detached = define('detached', [step(action), workerStep('z', ['c'])]);
    const child = ref('detached', 1, action);
    const said = { status: 'completed', output: { workflow: 'sub', runId: child.runId } };
    const begun = given(detached, started()).when(told('detached', 1, said, child.runId));
    begun.leaves('running', { c: 'completed 1', z: 'scheduled 1' });
    begun.when(cancelled()).commands([{ kind: 'task.cancel', step: 'z', attempt: 1, reason: 'enough' }]);
  });

  test('starts anew, as another run, when its run is retried by hand', () => {
    given(waits, started(), told('waits', 1, { status: 'cancelled', reason: 'x' }))
      .when(retried())
      .commands([{ kind: 'child', child: ref('waits', 2), step: 'c', attempt: 2, payload: input }]);
  });
});

describe('a run that is a child', () => {
  const parent: Parent = { workflow: 'up', runId: 'p1', step: 'c', attempt: 1, depth: 1 };
  const two = define('two', [workerStep('a'), workerStep('b', ['a']), workerStep('c', ['a'])]);
  const child = (more: Partial<Parent> = {}) => started(null, { parent: { ...parent, ...more } });
  const parents = (commands: readonly { kind: string }[]) => commands.filter(({ kind }) => kind === 'parent');

  test('tells its end: the outputs of the steps that no other needs', () => {
    const { story } = given(two, child(), succeeded('a', 1, 1), succeeded('b', 1, 2)).when(cancelled('x'));
    expect(story.state.parent).toEqual(parent);
    given(two, child(), succeeded('a', 1, 1), succeeded('b', 1, 2))
      .when(succeeded('c', 1, 3))
      .commands([{ kind: 'parent', parent, ending: { status: 'completed', output: { b: 2, c: 3 } } }]);
  });

  test('tells of its failure and its cancel, and tells its next end after a retry by hand', () => {
    const error = failure({ retryable: false });
    const one = define('one', [workerStep('a')]);
    const ended = given(one, child()).when(failed('a', 1, { retryable: false }));
    ended.commands([
      { kind: 'task.cancel', step: 'a', attempt: 1, reason: 'no' },
      { kind: 'parent', parent, ending: { status: 'failed', error } },
    ]);
    ended
      .when(retried())
      .when(succeeded('a', 2, 7))
      .commands([{ kind: 'parent', parent, ending: { status: 'completed', output: { a: 7 } } }]);
    const { commands } = given(one, child()).when(cancelled('x')).story.feed(retried());
    expect(parents(commands)).toEqual([]);
  });

  test('that ends with its start tells so, too', () => {
    const skips = define('skips', [workerStep('a', [], { when: 'false' })]);
    given(skips)
      .when(child())
      .commands([{ kind: 'parent', parent, ending: { status: 'completed', output: {} } }]);
  });

  test('that nobody waits for tells nobody', () => {
    given(define('one', [workerStep('a')]), child({ detached: true }))
      .when(succeeded('a', 1))
      .commands([]);
  });

  test('may have children 50 levels down, and fails loudly below', () => {
    const at = (depth: number) => given(waits).when(child({ depth })).story.state;
    expect(at(49).status).toBe('running');
    expect(at(50)).toMatchObject({ status: 'failed', error: { code: 'MR_CHILD_DEPTH', retryable: false } });
    expect(at(50).error?.message).toBe('child runs are 50 levels deep already; sub would be one more');
  });
});
