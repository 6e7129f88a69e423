/** Steps over a list: order, how many at once, failures, conditions, what is done again, limits, cost (I1 to I4). */
import { describe, expect, test } from 'vitest';
import {
  decision,
  evolveEntry,
  fold,
  type InputBody,
  newRun,
  type RunState,
  react,
  type StepDefinition,
  type StoredEntry,
} from '../../../src/engine/index.ts';
import type { Json } from '../../../src/kernel/index.ts';
import {
  at,
  cancelled,
  failed,
  failure,
  fired,
  given,
  resumed,
  retried,
  started,
  succeeded,
  TRACE,
} from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const retry = { ...PATIENT, maxAttempts: 1 };
const over = (more: Partial<StepDefinition> = {}, forEach: Partial<StepDefinition['forEach']> = {}): StepDefinition =>
  workerStep('each', [], {
    retry,
    forEach: { items: 'payload.list', maxParallel: 2, onFailure: 'fail', ...forEach },
    ...more,
  });
const list = ['a', 'b', 'c', 'd'];
const start = started({ list });
const letters = define('letters', [over(), workerStep('z', ['each'])]);
const collects = define('collects', [over({}, { onFailure: 'collect' }), workerStep('z', ['each'])]);
const each = (n: number, ok = true): InputBody => (ok ? succeeded(`each#${n}`, 1, n) : failed(`each#${n}`, 1));
const input = (n: number) => ({ item: list[n - 1] ?? null, index: n - 1 });

/** The items of the state, `<status> <attempt>` each. */
const itemsIn = (state: RunState): string[] =>
  (state.items?.['each']?.chunks ?? []).flat().map(({ status, attempt }) => `${status} ${attempt}`);

describe('a step over a list', () => {
  test('begins as many items as may be open at once, each a step with its task', () => {
    given(letters)
      .when(start)
      .stores(
        { type: 'RunStarted', digest: letters.digest, payload: { list }, trace: TRACE },
        { type: 'StepFannedOut', step: 'each', attempt: 1, count: 4 },
        { type: 'StepScheduled', step: 'each#1', attempt: 1, input: input(1) },
        { type: 'StepScheduled', step: 'each#2', attempt: 1, input: input(2) },
      )
      .commands([
        ...[1, 2].map((n) => ({
          ...({ kind: 'task', queue: 'q', handler: 'each', step: `each#${n}`, attempt: 1 } as const),
          ...{ input: input(n), idempotencyKey: `r1/each#${n}` },
        })),
      ]);
  });

  test('begins the next when one ends, and completes with the outputs in the order of the list', () => {
    const outcome = given(letters, start, each(2))
      .when(each(1))
      .stores(
        { type: 'StepCompleted', step: 'each#1', attempt: 1, output: 1 },
        { type: 'StepScheduled', step: 'each#4', attempt: 1, input: input(4) },
      )
      .when(each(4))
      .stores({ type: 'StepCompleted', step: 'each#4', attempt: 1, output: 4 })
      .when(each(3))
      .stores(
        { type: 'StepCompleted', step: 'each#3', attempt: 1, output: 3 },
        { type: 'StepCompleted', step: 'each', attempt: 1, output: null },
        { type: 'StepScheduled', step: 'z', attempt: 1, input: { payload: { list }, steps: { each: [1, 2, 3, 4] } } },
      );
    expect(outcome.story.state.steps['each']).toMatchObject({ status: 'completed', items: 4, output: [1, 2, 3, 4] });
  });

  test('completes at once without items, and takes no report for itself or for an item it does not have', () => {
    given(letters)
      .when(started({ list: [] }))
      .leaves('running', { each: 'completed 1', z: 'scheduled 1' });
    given(letters, start)
      .when(succeeded('each', 1, 5))
      .storesNothing();
    given(letters, start).when(each(5)).storesNothing();
    given(letters, start).when(each(3)).storesNothing();
  });

  test('tries an item again as the policy says, without holding up the others', () => {
    const patient = define('patient', [over({ retry: { ...PATIENT, maxAttempts: 2 }, timeoutMs: 500 })]);
    const story = given(patient, start, each(1, false)).when(each(2)).story;
    expect(itemsIn(story.state)).toEqual(['backoff 1', 'completed 1', 'scheduled 1']);
    expect(Object.keys(story.state.timers)).toEqual(['retry/each#1/1', 'timeout/each#3/1']);
    story.feed(fired('retry/each#1/1'));
    expect(itemsIn(story.state)).toEqual(['scheduled 2', 'completed 1', 'scheduled 1']);
  });

  test('fails with its first failed item, and what is open is cancelled', () => {
    given(letters, start)
      .when(each(2, false))
      .stores(
        { type: 'StepFailed', step: 'each#2', attempt: 1, error: failure() },
        { type: 'StepFailed', step: 'each', attempt: 1, error: failure({ message: 'item 2: no' }) },
        { type: 'StepCancelled', step: 'each#1', attempt: 1, reason: 'step "each" failed' },
        { type: 'RunFailed', error: failure({ message: 'item 2: no' }), step: 'each' },
      )
      .commands([
        { kind: 'task.cancel', step: 'each#2', attempt: 1, reason: 'no' },
        { kind: 'task.cancel', step: 'each#1', attempt: 1, reason: 'step "each" failed' },
      ]);
  });

  test('collects failures where it is to', () => {
    const { state } = given(collects, start, each(1), each(2, false), each(3)).when(each(4)).story;
    const error = { code: 'MR_STEP_FAILED', message: 'no' };
    const output = [
      { ok: true, output: 1 },
      { ok: false, error },
      { ok: true, output: 3 },
      { ok: true, output: 4 },
    ];
    expect(state.steps['each']).toMatchObject({ status: 'completed', output });
    expect(state.steps['z']?.status).toBe('scheduled');
  });

  test('is skipped as a whole by a condition of the run, and item by item by one of items', () => {
    const none = define('none', [over({ when: 'size(payload.list) > 9' }), workerStep('z', ['each'])]);
    given(none).when(start).leaves('completed', { each: 'skipped 0', z: 'skipped 0' });
    const some = define('some', [over({ when: 'index % 2 == 1 || item == "c"' })]);
    const story = given(some, start, each(2), each(3)).when(each(4)).story;
    expect(itemsIn(story.state)).toEqual(['skipped 0', 'completed 1', 'completed 1', 'completed 1']);
    expect(story.state.steps['each']?.output).toEqual([null, 2, 3, 4]);
  });

  test('gives each item what `with` says of it', () => {
    const made = define('made', [over({ with: { letter: 'item', place: 'index', of: 'size(payload.list)' } })]);
    const { transitions } = given(made).when(start).story.entries[0] ?? { transitions: [] };
    const inputs = transitions.flatMap((t) => (t.type === 'StepScheduled' ? [t.input] : []));
    expect(inputs).toEqual([
      { letter: 'a', place: 0, of: 4 },
      { letter: 'b', place: 1, of: 4 },
    ]);
  });

  test('fails when the list is none, and an item fails whose expression does', () => {
    const state = (definition: ReturnType<typeof define>, payload: Json) =>
      given(definition).when(started(payload)).story.state;
    expect(state(letters, { list: 5 }).error?.message).toBe('forEach.items: payload.list gives a number, not a list');
    const wrong = [over({ with: { x: 'item.x' } }, { onFailure: 'collect' })];
    const made = state(define('wrong', wrong), { list: [{ x: 1 }, {}, { x: 3 }] });
    expect(itemsIn(made)).toEqual(['scheduled 1', 'failed 1', 'scheduled 1']);
    expect(state(define('wrong', [over({ with: { x: 'item.x' } })]), { list: [{}] }).error?.message).toMatch(
      /^item 1: /,
    );
  });

  test('fails with the number when there are more than 10,000 items', () => {
    const { error } = given(letters).when(started({ list: Array(10_001).fill(0) })).story.state;
    expect(error).toMatchObject({ code: 'MR_TOO_MANY_ITEMS', retryable: false });
    expect(error?.message).toBe('forEach gives 10001 items; at most 10000 are possible');
  });

  test('lets a paused item go on when a person says so', () => {
    const waits = define('waits', [over({ retry: { ...retry, onExhausted: 'pause' } })]);
    const story = given(waits, start, each(1, false), each(2), each(3)).when(each(4)).story;
    expect(itemsIn(story.state)).toEqual(['paused 1', 'completed 1', 'completed 1', 'completed 1']);
    expect(story.state.status).toBe('running');
    story.feed(resumed());
    expect(itemsIn(story.state)[0]).toBe('scheduled 2');
    story.feed(succeeded('each#1', 2, 9));
    expect(story.state.steps['each']?.output).toEqual([9, 2, 3, 4]);
  });

  test('has the grace time to end, and begins no item in it', () => {
    const story = given(letters, start).when({ v: 1, kind: 'cancel', reason: 'enough', graceMs: 5_000 }).story;
    story.feed(each(1));
    expect(itemsIn(story.state)).toEqual(['completed 1', 'scheduled 1']);
    story.feed(each(2));
    expect(story.state.status).toBe('cancelled');
  });
});

describe('a run that is retried', () => {
  test('does only those items again that have not completed', () => {
    const story = given(letters, start, each(1), each(3), each(2, false)).when(retried()).story;
    expect(itemsIn(story.state)).toEqual(['completed 1', 'scheduled 2', 'completed 1', 'scheduled 2']);
    story.feed(succeeded('each#2', 2, 'two'));
    story.feed(succeeded('each#4', 2, 'four'));
    expect(story.state.steps['each']).toMatchObject({ attempt: 2, output: [1, 'two', 3, 'four'] });
  });

  test('does all of them again once the step was compensated, under another key', () => {
    const compensate = { handler: 'undo', queue: 'q', retry };
    const undone = define('undone', [over({ compensate }), workerStep('z', ['each'], { retry })]);
    const done = [each(1), each(2), each(3), each(4)];
    const story = given(undone, start, ...done, failed('z', 1), succeeded('undo:each', 1)).when(retried()).story;
    expect(itemsIn(story.state)).toEqual(['scheduled 2', 'scheduled 2', 'pending 1', 'pending 1']);
    const { commands } = story.feed(succeeded('each#1', 2));
    expect(commands.flatMap((one) => (one.kind === 'task' ? [one.idempotencyKey] : []))).toEqual(['r1/each#3~1']);
  });

  test('cancelled before, does what was under way again', () => {
    const story = given(letters, start, each(1), cancelled()).when(retried()).story;
    expect(itemsIn(story.state)).toEqual(['completed 1', 'scheduled 2', 'scheduled 2']);
  });
});

describe('many items', () => {
  const numbers = (count: number): Json => ({ list: Array.from({ length: count }, (_, n) => n) });

  test('begin in bounded numbers: what one entry leaves, the next reports begin', () => {
    const wide = define('wide', [over({}, { maxParallel: 500 })]);
    const story = given(wide).when(started(numbers(300))).story;
    expect(itemsIn(story.state)).toHaveLength(100);
    story.feed(each(1));
    story.feed(each(2));
    expect(story.state.items?.['each']).toMatchObject({ next: 301, open: 298, completed: 2 });
    const large = define('large', [over({ with: { text: 'item' } }, { maxParallel: 500 })]);
    const fat = given(large).when(started({ list: Array(50).fill('x'.repeat(50_000)) })).story;
    expect(itemsIn(fat.state)).toHaveLength(6); // 256 KiB
  });

  test('that are all skipped go on by a timer of their own', () => {
    const none = define('none', [over({ when: 'item < 0' })]);
    const story = given(none).when(started(numbers(2_500))).story;
    expect(story.state.timers).toEqual({ 'items/each#1001/1': at(1) });
    story.feed(fired('items/each#1001/1'));
    const { transitions } = story.feed(fired('items/each#2001/1'));
    expect(transitions.at(-1)?.type).toBe('RunCompleted');
    expect(story.state.items?.['each']).toMatchObject({ skipped: 2_500, next: 2_501 });
  });

  test('10,000 cost ten times what 1,000 do, live and folded', () => {
    const wide = define('wide', [over({ with: { n: 'item' } }, { maxParallel: 100 })]);
    const play = (count: number): { readonly ms: number; readonly entries: readonly StoredEntry[] } => {
      const entries: StoredEntry[] = [];
      let state: RunState = newRun('wide', 'r1');
      let seq = 0;
      const feed = (body: InputBody): void => {
        const input = { seq: ++seq, at: seq, body };
        const { transitions, after } = decision(wide, state, input);
        const entry: StoredEntry = { v: 1, cause: seq, at: seq, transitions, seq: ++seq };
        react(wide, state, entry);
        entries.push(entry);
        state = { ...after, lastInput: entry.cause, lastEntry: entry.seq };
      };
      const before = process.cpuUsage();
      feed({ v: 1, kind: 'start', digest: wide.digest, payload: numbers(count) });
      for (let n = 1; n <= count; n++) feed(succeeded(`each#${n}`, 1, n));
      const { user, system } = process.cpuUsage(before);
      expect(state.status).toBe('completed');
      expect(fold('wide', 'r1', entries)).toStrictEqual(state);
      return { ms: (user + system) / 1_000, entries };
    };
    const small = play(1_000);
    const large = play(10_000);
    const half = large.entries.slice(0, 5_000).reduce(evolveEntry, newRun('wide', 'r1'));
    expect(half.items?.['each']?.completed).toBe(4_999);
    console.log(
      `fan-out: 1,000 items ${small.ms.toFixed(0)} ms, 10,000 items ${large.ms.toFixed(0)} ms of processor time`,
    );
    // Were each input to copy all items, it would be a hundred times. What the first ones cost to compile is left out.
    expect(large.ms).toBeLessThan(30 * Math.max(small.ms, 40));
  });
});
