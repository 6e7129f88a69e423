/** Which step goes when: needs, when, with, skipping, and expressions that fail. */
import { describe, test } from 'vitest';
import { failure, given, started, succeeded, TRACE } from '../../kit/spec.ts';
import { define, workerStep } from '../../kit/workflows.ts';

const completed = (step: string, output: unknown = null, attempt = 1) =>
  ({ type: 'StepCompleted', step, attempt, output }) as never;

describe('a line of steps', () => {
  const line = define('line', [workerStep('a'), workerStep('b', ['a']), workerStep('c', ['b'])]);

  test('starts with the first only', () => {
    given(line)
      .when(started({ n: 1 }))
      .stores(
        { type: 'RunStarted', digest: line.digest, payload: { n: 1 }, trace: TRACE },
        { type: 'StepScheduled', step: 'a', attempt: 1, input: { payload: { n: 1 }, steps: {} } },
      )
      .commands(
        [
          { kind: 'event', of: 'run', event: 'started', data: { digest: line.digest } },
          {
            kind: 'task',
            queue: 'q',
            handler: 'a',
            step: 'a',
            attempt: 1,
            input: { payload: { n: 1 }, steps: {} },
            idempotencyKey: 'r1/a',
          },
          { kind: 'event', of: 'step', step: 'a', event: 'scheduled', data: { attempt: 1 } },
        ],
        { events: true },
      );
  });

  test('hands the output of what a step needs to it, and ends after the last', () => {
    given(line, started(7))
      .when(succeeded('a', 1, 'A'))
      .stores(completed('a', 'A'), {
        type: 'StepScheduled',
        step: 'b',
        attempt: 1,
        input: { payload: 7, steps: { a: 'A' } },
      })
      .when(succeeded('b', 1, 'B'))
      .stores(completed('b', 'B'), {
        type: 'StepScheduled',
        step: 'c',
        attempt: 1,
        input: { payload: 7, steps: { b: 'B' } },
      })
      .when(succeeded('c', 1))
      .stores(completed('c'), { type: 'RunCompleted' })
      .leaves('completed', { a: 'completed 1', b: 'completed 1', c: 'completed 1' });
  });

  test('a second start changes nothing', () => {
    given(line, started(7)).when(started(8)).storesNothing();
    given(line, started(7), succeeded('a', 1), succeeded('b', 1), succeeded('c', 1)).when(started(8)).storesNothing();
  });
});

describe('a diamond', () => {
  const diamond = define('diamond', [
    workerStep('top'),
    workerStep('left', ['top']),
    workerStep('right', ['top']),
    workerStep('end', ['left', 'right']),
  ]);
  const input = { payload: null, steps: { top: null } };

  test('goes both ways at once', () => {
    given(diamond, started())
      .when(succeeded('top', 1))
      .stores(
        completed('top'),
        { type: 'StepScheduled', step: 'left', attempt: 1, input },
        { type: 'StepScheduled', step: 'right', attempt: 1, input },
      );
  });

  test('waits for both, whichever is first', () => {
    given(diamond, started(), succeeded('top', 1))
      .when(succeeded('right', 1, 'R'))
      .stores(completed('right', 'R'))
      .when(succeeded('left', 1, 'L'))
      .stores(completed('left', 'L'), {
        type: 'StepScheduled',
        step: 'end',
        attempt: 1,
        input: { payload: null, steps: { left: 'L', right: 'R' } },
      });
  });
});

describe('when', () => {
  const choice = define('choice', [
    workerStep('look'),
    workerStep('act', ['look'], { when: 'steps.look.n > 2' }),
    workerStep('tell', ['act']),
    workerStep('log', ['look']),
  ]);

  test('true: the step goes', () => {
    given(choice, started())
      .when(succeeded('look', 1, { n: 3 }))
      .leaves('running', { look: 'completed 1', act: 'scheduled 1', log: 'scheduled 1' });
  });

  test('false: the step and all that need it are skipped, the rest goes', () => {
    given(choice, started())
      .when(succeeded('look', 1, { n: 2 }))
      .stores(
        completed('look', { n: 2 }),
        { type: 'StepSkipped', step: 'act', reason: 'when: steps.look.n > 2' },
        { type: 'StepSkipped', step: 'tell', reason: 'needs "act", which was skipped' },
        { type: 'StepScheduled', step: 'log', attempt: 1, input: { payload: null, steps: { look: { n: 2 } } } },
      )
      .when(succeeded('log', 1))
      .stores(completed('log'), { type: 'RunCompleted' });
  });

  test('everything skipped: the run completes at once', () => {
    const none = define('none', [workerStep('a', [], { when: 'payload.go' }), workerStep('b', ['a'])]);
    given(none)
      .when(started({ go: false }))
      .stores(
        { type: 'RunStarted', digest: none.digest, payload: { go: false }, trace: TRACE },
        { type: 'StepSkipped', step: 'a', reason: 'when: payload.go' },
        { type: 'StepSkipped', step: 'b', reason: 'needs "a", which was skipped' },
        { type: 'RunCompleted' },
      );
  });
});

describe('with', () => {
  test('makes the input from payload, steps and run', () => {
    const made = define('made', [
      workerStep('a', [], { with: { twice: 'payload.n * 2', run: 'run.id', list: '[1, payload.n]' } }),
    ]);
    given(made)
      .when(started({ n: 4 }))
      .stores(
        { type: 'RunStarted', digest: made.digest, payload: { n: 4 }, trace: TRACE },
        { type: 'StepScheduled', step: 'a', attempt: 1, input: { twice: 8, run: 'r1', list: [1, 4] } },
      );
  });
});

describe('an expression that fails', () => {
  const broken = define('broken', [
    workerStep('a'),
    workerStep('b', ['a'], { with: { x: 'steps.a.missing' } }),
    workerStep('c', ['a']),
  ]);
  const error = {
    ...failure({ code: 'MR_EXPRESSION', retryable: false }),
    message: 'expression "steps.a.missing": No such key: missing',
    hint: 'expressions are CEL; see docs/manifests.md for the variables and operators',
  };

  test('fails its step without another attempt, and the run with it', () => {
    given(broken, started())
      .when(succeeded('a', 1, {}))
      .stores(
        completed('a', {}),
        { type: 'StepFailed', step: 'b', attempt: 1, error },
        { type: 'RunFailed', error, step: 'b' },
      )
      .leaves('failed', { a: 'completed 1', b: 'failed 1' });
  });

  test('cancels what was begun in the same breath', () => {
    const both = define('both', [workerStep('a'), workerStep('b', [], { when: 'payload.x' })]);
    given(both).when(started({})).leaves('failed', { a: 'cancelled 1', b: 'failed 1' });
  });

  test('a condition that is no boolean fails, too', () => {
    const odd = define('odd', [workerStep('a', [], { when: 'payload' })]);
    given(odd).when(started('yes')).leaves('failed', { a: 'failed 1' });
  });
});

describe('names that JavaScript knows, too', () => {
  const names = ['isPrototypeOf', 'toString', 'valueOf', 'hasOwnProperty'];
  const tricky = define(
    'tricky',
    names.map((name, i) => workerStep(name, i === 0 ? [] : [names[i - 1] ?? ''])),
  );

  test('are names like others', () => {
    given(tricky, started(), succeeded('isPrototypeOf', 1, 1), succeeded('toString', 1, 2))
      .when(succeeded('valueOf', 1, 3))
      .stores(completed('valueOf', 3), {
        type: 'StepScheduled',
        step: 'hasOwnProperty',
        attempt: 1,
        input: { payload: null, steps: { valueOf: 3 } },
      })
      .when(succeeded('hasOwnProperty', 1))
      .stores(completed('hasOwnProperty'), { type: 'RunCompleted' });
  });

  test('a report on a step that there is not is refused', () => {
    const plain = define('plain', [workerStep('a')]);
    given(plain, started()).when(succeeded('constructor', 1)).storesNothing();
    given(plain, started()).when(succeeded('b', 1)).storesNothing();
  });
});
