import { describe, expect, test } from 'vitest';
import {
  backoffMs,
  canonicalJson,
  compileExpression,
  derivedFraction,
  derivedId,
  evaluateCondition,
  formatDuration,
  formatPlace,
  handlerToken,
  isErrorCode,
  isMillraceError,
  type Json,
  MillraceError,
  messageOf,
  parseDuration,
  parseRunSubject,
  parseTimerFired,
  runIdOf,
  runIdOfKey,
  STEP_VARIABLES,
  spanIdOf,
  stepEventSubject,
  timerSubject,
  traceIdOfRun,
  tryParseDuration,
  workflowStream,
} from '../../../src/kernel/index.ts';

describe('backoff', () => {
  const policy = { initialMs: 100, factor: 2, maxMs: 1_000, jitter: 0 };
  test.each([
    [1, 100],
    [2, 200],
    [4, 800],
    [5, 1_000],
    [5_000, 1_000],
  ])('after %i failures %i ms', (failures, ms) => expect(backoffMs(policy, failures, 'k')).toBe(ms));

  test('of nothing stays nothing, even after more failures than a number can hold', () => {
    expect(backoffMs({ ...policy, initialMs: 0 }, 2_000, 'k')).toBe(0);
  });

  test('is spread by key, downwards, by at most the jitter', () => {
    const waits = Array.from({ length: 200 }, (_, i) => backoffMs({ ...policy, jitter: 0.5 }, 1, `k${i}`));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(50);
    expect(Math.max(...waits)).toBeLessThanOrEqual(100);
    expect(new Set(waits).size).toBeGreaterThan(20);
  });
});

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['1.5s', 1_500],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
  ])('%s is %i ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(['', '10', 's', '10 s', '-1s', '1s!', '1S'])('"%s" is none', (text) => {
    expect(tryParseDuration(text)).toBeUndefined();
    expect(() => parseDuration(text)).toThrow(
      expect.objectContaining({ code: 'MR_INPUT_INVALID', hint: expect.any(String) }),
    );
  });

  test.each([
    [850, '850ms'],
    [2_400, '2.4s'],
    [185_000, '3m05s'],
    [7_800_000, '2h10m'],
  ])('%i ms is written %s', (ms, text) => expect(formatDuration(ms)).toBe(text));
});

describe('errors', () => {
  test('carry code, consequence, hint, place and cause', () => {
    const cause = new Error('why');
    const error = new MillraceError('MR_CONFLICT', 'm', { hint: 'h', place: { file: 'f', line: 1 }, cause });
    expect({ ...error, cause: error.cause, message: error.message }).toEqual({
      name: 'MillraceError',
      code: 'MR_CONFLICT',
      hint: 'h',
      place: { file: 'f', line: 1 },
      next: 'conflict',
      cause,
      message: 'm',
    });
    expect(new MillraceError('MR_CONFLICT', 'm', { next: 'terminal' }).next).toBe('terminal');
  });

  test('are told apart from others', () => {
    expect(isMillraceError(new MillraceError('MR_USAGE', 'm'), 'MR_USAGE')).toBe(true);
    expect(isMillraceError(new MillraceError('MR_USAGE', 'm'), 'MR_NATS')).toBe(false);
    expect(isMillraceError(new Error('m'))).toBe(false);
    expect([isErrorCode('MR_NATS'), isErrorCode('toString'), isErrorCode('MR_NO')]).toEqual([true, false, false]);
    expect([messageOf(new Error('m')), messageOf(7)]).toEqual(['m', '7']);
  });

  test('say where', () => {
    expect(formatPlace({ file: 'a.yaml', line: 3, column: 5, path: 'spec.steps[0]' })).toBe('a.yaml:3:5 spec.steps[0]');
    expect(formatPlace({ path: 'spec' })).toBe(' spec'.trim());
  });
});

describe('expressions', () => {
  const run = (source: string, payload: Json): Json =>
    compileExpression(source, STEP_VARIABLES).evaluate({ payload, steps: {}, run: {} });

  test.each<[string, Json, Json]>([
    ['payload.n + 1', { n: 1 }, 2],
    ['payload.n * 1.5 >= 3.0', { n: 2 }, true],
    ['payload.list.filter(x, x > 1)', { list: [1, 2, 3] }, [2, 3]],
    ['{"a": payload.n, "b": [1, "x"]}', { n: null }, { a: null, b: [1, 'x'] }],
    ['size(payload)', 'abc', 3],
    ['has(payload.x) ? payload.x : "none"', {}, 'none'],
    ['payload.n / 0.0', { n: 1 }, null],
  ])('%s of %j is %j', (source, payload, value) => expect(run(source, payload)).toEqual(value));

  test.each(['payload.', 'unknown + 1', '1 +', 'payload.x.y.z('])('"%s" does not compile', (source) => {
    expect(() => compileExpression(source, STEP_VARIABLES)).toThrow(expect.objectContaining({ code: 'MR_EXPRESSION' }));
  });

  test('cannot reach what is not theirs', () => {
    for (const source of ['process', 'payload.constructor', 'globalThis', 'payload.__proto__']) {
      expect(() => run(source, {})).toThrow(expect.objectContaining({ code: 'MR_EXPRESSION' }));
    }
  });

  test('a condition must be a boolean', () => {
    const condition = compileExpression('payload', STEP_VARIABLES);
    expect(evaluateCondition(condition, { payload: true, steps: {}, run: {} })).toBe(true);
    expect(() => evaluateCondition(condition, { payload: 1, steps: {}, run: {} })).toThrow(/not a boolean/);
  });
});

describe('ids', () => {
  test('follow from their parts and are pinned: other processes compute them, too', () => {
    expect(runIdOf('w', 't', 'S', 7)).toBe(derivedId('run', 'w', 't', 'S', 7));
    expect({
      run: runIdOf('delay-report', 'flights', 'FLIGHTS', 12),
      key: runIdOfKey('w', 'k'),
      trace: traceIdOfRun('r1'),
      span: spanIdOf('r1', 'run'),
    }).toMatchInlineSnapshot(`
      {
        "key": "spyc8tare0452jcn",
        "run": "01dp0cmap2cv6ryf",
        "span": "a8e1741393aa85c1",
        "trace": "8c2b2d0296848821bc14798f5576ea36",
      }
    `);
  });

  test('do not run into each other', () => {
    expect(derivedId('ab', 'c')).not.toBe(derivedId('a', 'bc'));
    expect(derivedFraction('a', 1)).toBeGreaterThanOrEqual(0);
    expect(derivedFraction('a', 1)).toBeLessThan(1);
  });
});

describe('canonical JSON', () => {
  test('sorts members, leaves out undefined', () => {
    expect(canonicalJson({ b: [1, undefined, { d: null, c: 'x' }], a: undefined })).toBe(
      '{"b":[1,null,{"c":"x","d":null}]}',
    );
  });
});

describe('subjects', () => {
  test('names that cannot be tokens are refused', () => {
    for (const bad of ['', 'a.b', 'a b', '*', '>', 'x'.repeat(65)]) {
      expect(() => workflowStream(bad)).toThrow(expect.objectContaining({ code: 'MR_INPUT_INVALID' }));
    }
    expect(handlerToken('flights.validate')).toBe('flights-validate');
  });

  test('of timers are one token for any id', () => {
    expect(timerSubject('w', 'r', 'sleep/settle/1')).toBe('timer.at.w.r.sleep_settle_1');
    // Compensations and items of steps, and steps of names like theirs.
    const steps = ['a', 'undo:a', 'undo_a', 'a#1', 'a_1', 'undo:a#1'];
    expect(new Set(steps.map((step) => timerSubject('w', 'r', `timeout/${step}/1`))).size).toBe(steps.length);
    expect(stepEventSubject('w', 'r', 'undo:a', 'completed')).toBe('evt.step.w.r.undo:a.completed');
    expect(stepEventSubject('w', 'r', 'a#12', 'completed')).toBe('evt.step.w.r.a=12.completed');
    expect(() => stepEventSubject('w', 'r', 'redo:a', 'completed')).toThrow(/cannot be part of a subject/);
    expect(() => stepEventSubject('w', 'r', 'a#b', 'completed')).toThrow(/cannot be part of a subject/);
  });

  test.each(['wf.w.in', 'wf.w.in.r.x', 'wf.w.out.r', 'x.w.in.r', ''])('"%s" is no run', (subject) => {
    expect(parseRunSubject(subject)).toBeUndefined();
  });

  test.each(['timer.fired.w', 'timer.at.w.r', 'timer.fired.w.r.x'])('"%s" is no fired timer', (subject) => {
    expect(parseTimerFired(subject)).toBeUndefined();
    expect(parseTimerFired('timer.fired.w.r')).toEqual({ workflow: 'w', runId: 'r' });
  });
});
