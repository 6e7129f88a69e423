/** Moving a run to another definition: the rule, what happens then, what is refused. */
import { describe, expect, test } from 'vitest';
import {
  type Definition,
  decide,
  decision,
  evolveEntry,
  type InputBody,
  react,
  whyNotMovable,
} from '../../../src/engine/index.ts';
import { cancelled, failed, given, type Story, started, succeeded } from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const retry = { ...PATIENT, maxAttempts: 1 };
const old = define('w', [workerStep('a'), workerStep('b', ['a'], { retry }), workerStep('c', ['b'])]);
const withNew = define('w', [
  workerStep('a'),
  workerStep('b', ['a'], { retry }),
  workerStep('x', ['a']),
  workerStep('c', ['b', 'x']),
]);
const sleeps = { name: 'b', needs: ['a'], retry, action: { kind: 'sleep', ms: 5 } } as const;

function move(story: Story, to: Definition): ReturnType<typeof decision> {
  const n = story.inputs.length + 1;
  const body: InputBody = { v: 1, kind: 'move', digest: to.digest, by: 'anna' };
  return decision(story.definition, story.state, { seq: 2 * n - 1, at: 5, body }, to);
}

describe('a run moves', () => {
  test('and new steps whose needs have ended begin at once, by the new definition', () => {
    const { story } = given(old, started()).when(succeeded('a', 1, 1));
    const { transitions, after } = move(story, withNew);
    expect(transitions).toStrictEqual([
      { type: 'RunMoved', digest: withNew.digest, by: 'anna' },
      { type: 'StepScheduled', step: 'x', attempt: 1, input: { payload: null, steps: { a: 1 } } },
    ]);
    expect(after.digest).toBe(withNew.digest);
    const entry = { v: 1, cause: 5, at: 5, transitions } as const;
    const commands = react(withNew, story.state, entry).filter(({ kind }) => kind !== 'event');
    expect(commands).toMatchObject([{ kind: 'task', step: 'x', attempt: 1 }]);
    expect(evolveEntry(story.state, { ...entry, seq: 6 })).toStrictEqual({ ...after, lastInput: 5, lastEntry: 6 });
    const next = decide(withNew, after, { seq: 7, at: 6, body: succeeded('b', 1, 2) });
    expect(next.map(({ type }) => type)).toEqual(['StepCompleted']); // c waits for x now
  });

  test('that failed, and is retried by hand by the mended definition', () => {
    const mended = define('w', [
      workerStep('a'),
      workerStep('b', ['a'], { action: { kind: 'worker', handler: 'b2', queue: 'q' } }),
    ]);
    const { story } = given(old, started(), succeeded('a', 1)).when(failed('b', 1));
    const { transitions, after } = move(story, mended);
    expect(transitions).toStrictEqual([{ type: 'RunMoved', digest: mended.digest, by: 'anna' }]);
    const again = decide(mended, after, { seq: 9, at: 9, body: { v: 1, kind: 'retry' } });
    const commands = react(mended, after, { at: 9, transitions: again });
    expect(commands.find(({ kind }) => kind === 'task')).toMatchObject({ handler: 'b2', attempt: 2 });
  });

  test('to its end, when the other definition wants nothing more of it', () => {
    const { story } = given(old, started(), succeeded('a', 1)).when(succeeded('b', 1));
    const { after } = move(story, define('w', [workerStep('a'), workerStep('b', ['a'])]));
    expect(after.status).toBe('running'); // c is out: what has begun must be there
    const early = given(old, started(), succeeded('a', 1), failed('b', 1)).when({ v: 1, kind: 'retry' }).story;
    expect(move(early, define('w', [workerStep('a'), workerStep('b', ['a'])])).transitions).toHaveLength(1);
  });
});

describe('a run does not move', () => {
  const reasons = (story: Story, to: Definition) => whyNotMovable(story.definition, to, story.state);
  const { story } = given(old, started()).when(succeeded('a', 1));

  test.each([
    [
      'a step that has begun is gone',
      define('w', [workerStep('a')]),
      'step "b" has begun, and the other definition does not have it',
    ],
    [
      'it is of another kind',
      define('w', [workerStep('a'), sleeps]),
      'step "b" has begun as worker, and would be sleep',
    ],
    [
      'it is over a list now',
      define('w', [
        workerStep('a'),
        workerStep('b', ['a'], { forEach: { items: '[1]', maxParallel: 1, onFailure: 'fail' } }),
      ]),
      'step "b" has begun without forEach, and would go on otherwise',
    ],
    ['it is another workflow', define('v', [workerStep('a'), workerStep('b')]), 'is a definition of v, not of w'],
    ['it is a function', define('w', [], { code: true }), 'a durable function runs by the code of its workers'],
    ['it goes by it already', old, `it runs by ${old.digest} already`],
  ])('when %s', (_what, to, reason) => {
    expect(reasons(story, to).join()).toContain(reason);
    expect(move(story, to).transitions).toEqual([]);
  });

  test('when it has completed, is being closed or has not begun; nor to a definition that is not the one it was told', () => {
    const one = define('w', [workerStep('a')]);
    expect(reasons(given(one, started()).when(succeeded('a', 1)).story, withNew)).toEqual(['it has completed']);
    const closing = given(old, started()).when({ v: 1, kind: 'cancel', reason: 'x', graceMs: 9_000 }).story;
    expect(reasons(closing, withNew)).toEqual(['it is being closed']);
    expect(reasons(given(old).when(cancelled()).story, withNew)).toEqual(['it has not begun']);
    const body: InputBody = { v: 1, kind: 'move', digest: 'other' };
    expect(decide(old, story.state, { seq: 9, at: 9, body }, withNew)).toEqual([]);
    expect(decide(old, story.state, { seq: 9, at: 9, body })).toEqual([]);
  });
});
