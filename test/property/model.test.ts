/** The invariants M1 to M7 of src/engine/model/decide.ts over workflows and histories made by chance. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decide,
  evolve,
  findStep,
  isEnded,
  isOpen,
  isOut,
  isUndo,
  itemAt,
  itemsOf,
  type RunState,
  react,
  type StepDefinition,
  stepOf,
  type Transition,
  undoName,
} from '../../src/engine/index.ts';
import { play } from '../kit/story-of-chance.ts';

const RUNS = { numRuns: 400 };
const ends = (transitions: readonly Transition[]): number =>
  transitions.filter(({ type }) => type === 'RunCompleted' || type === 'RunFailed' || type === 'RunCancelled').length;

describe('invariants', () => {
  test('M1 what changes nothing changes nothing the second time either', () => {
    fc.assert(
      play((before, transitions, _after, input, story) => {
        if (transitions.length > 0) return;
        expect(decide(story.definition, before, { ...input, seq: input.seq + 1 })).toEqual([]);
      }),
      RUNS,
    );
  });

  test('M2 only the attempt that is out can complete or fail by a report', () => {
    fc.assert(
      play((before, transitions, _after, { body }) => {
        if (body.kind !== 'task.succeeded' && body.kind !== 'task.failed') return;
        const step = stepOf(before, body.step);
        const counts =
          isOut(step) && step.items === undefined && step.attempt === body.attempt && before.status === 'running';
        if (!counts) expect(transitions).toEqual([]);
      }),
      RUNS,
    );
  });

  test('M3 attempts only count up, and no attempt is handed out twice', () => {
    fc.assert(
      play((before, _transitions, after, _input, { entries }) => {
        for (const step of [...Object.values(before.steps), ...itemsOf(before)]) {
          expect(stepOf(after, step.name).attempt).toBeGreaterThanOrEqual(step.attempt);
        }
        const begun = entries.flatMap(({ transitions }) =>
          transitions.flatMap((t) =>
            t.type === 'StepScheduled' ||
            t.type === 'SleepStarted' ||
            t.type === 'SignalAwaited' ||
            t.type === 'StepFannedOut'
              ? [`${t.step}/${t.attempt}`]
              : [],
          ),
        );
        expect(new Set(begun).size).toBe(begun.length);
      }),
      { numRuns: 200 },
    );
  });

  test('M4 a run ends once, until it is retried by hand', () => {
    fc.assert(
      play((before, transitions, after) => {
        const retry = transitions.some(({ type }) => type === 'RunRetried');
        expect(ends(transitions)).toBeLessThanOrEqual(1);
        if (isEnded(before) && !retry) expect([ends(transitions), after.status]).toEqual([0, before.status]);
        if (isEnded(after) && (!isEnded(before) || retry)) expect(ends(transitions)).toBe(1);
      }),
      RUNS,
    );
  });

  test('M5 an ended run has no timers and no open step', () => {
    fc.assert(
      play((_before, _transitions, after) => {
        if (!isEnded(after)) return;
        expect(after.timers).toEqual({});
        const open = [...Object.values(after.steps), ...itemsOf(after)].filter(({ status }) =>
          ['scheduled', 'running', 'waiting', 'backoff', 'paused'].includes(status),
        );
        expect(open).toEqual([]);
      }),
      RUNS,
    );
  });

  test('M6 every signal waits or was taken once', () => {
    fc.assert(
      play((before, transitions, after, { body }, { definition }) => {
        const count = (type: Transition['type']) => transitions.filter((t) => t.type === type).length;
        expect(after.signals.length).toBe(before.signals.length + count('SignalReceived') - count('SignalConsumed'));
        if (body.kind === 'signal' && before.status !== 'completed') expect(count('SignalReceived')).toBe(1);
        if (after.status !== 'running') return;
        for (const { name, action: wanted } of definition.steps) {
          if (wanted.kind !== 'signal' || after.steps[name]?.status !== 'waiting') continue;
          expect(
            after.signals.filter((one) => one.name === wanted.name),
            'no step waits beside its signal',
          ).toEqual([]);
        }
      }),
      RUNS,
    );
  });

  test('M7 a running run waits for something: a report, a timer, a signal or a person', () => {
    fc.assert(
      play((_before, _transitions, after, _input, { definition }) => {
        if (after.status !== 'running') return;
        const waits = [...Object.values(after.steps), ...itemsOf(after)].map((step) => {
          if (step.items !== undefined) return false; // its items wait
          const declared = findStep(definition, step.name);
          const timer = (kind: string) => after.timers[`${kind}/${step.name}/${step.attempt}`] !== undefined;
          if (declared === undefined) return false;
          if (isOut(step)) return timedAsDeclared(declared, step.status === 'running', timer);
          if (step.status === 'backoff') return timer('retry');
          if (step.status === 'paused') return true;
          if (step.status !== 'waiting') return false;
          return declared.action.kind === 'sleep' ? timer('sleep') : declared.action.kind === 'signal';
        });
        expect(waits).toContain(true);
      }),
      RUNS,
    );
  });

  test('M8 nothing begins in a run that is being closed but compensations, one at a time, the last completed first', () => {
    fc.assert(
      play((before, transitions, after) => {
        let state = before;
        for (const t of transitions) {
          const begins = t.type === 'StepScheduled' || t.type === 'SleepStarted' || t.type === 'SignalAwaited';
          if (begins && state.closing !== undefined) {
            const left = (state.undo ?? []).filter((name) => stepOf(state, undoName(name)).status !== 'failed');
            expect(t.step).toBe(undoName(left.at(-1) ?? ''));
            expect(Object.values(state.steps).filter((step) => isOpen(step) && step.name !== t.step)).toEqual([]);
          } else if (begins) expect(isUndo(t.step)).toBe(false);
          state = evolve(state, t, 0);
        }
        expect(Object.values(after.steps).filter((step) => isUndo(step.name) && isOpen(step)).length).toBeLessThan(2);
      }),
      RUNS,
    );
  });

  test('M9 a run that failed or was cancelled, and not killed, has undone what it could', () => {
    fc.assert(
      play((_before, _transitions, after) => {
        if ((after.status !== 'failed' && after.status !== 'cancelled') || after.killed === true) return;
        const left = (after.undo ?? []).map((name) => stepOf(after, undoName(name)).status);
        expect(left).toEqual(left.map(() => 'failed'));
      }),
      RUNS,
    );
  });
});

/** An attempt that is out has the timers its step declares. */
function timedAsDeclared(step: StepDefinition, running: boolean, timer: (kind: string) => boolean): boolean {
  const { timeoutMs, queueTimeoutMs, heartbeatTimeoutMs } = step;
  if (!running && queueTimeoutMs !== undefined) return timer('queue');
  const heard = !running || heartbeatTimeoutMs === undefined || timer('heartbeat');
  return heard && (timeoutMs === undefined || timer('timeout'));
}

describe('fan-out', () => {
  test('I1, I2 at most maxParallel items are open, in the order of the list, and while none is something begins them', () => {
    fc.assert(
      play((_before, _transitions, after, _input, { definition }) => {
        for (const [name, items] of Object.entries(after.items ?? {})) {
          const { forEach } = definition.steps.find((step) => step.name === name) ?? {};
          const all = items.chunks.flat();
          const open = all.filter(isOpen).length;
          expect([items.open, open <= (forEach?.maxParallel ?? 0)]).toEqual([open, true]);
          const counted = all.slice(0, items.count);
          for (const status of ['completed', 'failed', 'skipped', 'cancelled'] as const) {
            expect(items[status]).toBe(counted.filter((item) => item.status === status).length);
          }
          if (after.status !== 'running' || after.closing !== undefined) continue;
          if (after.steps[name]?.status === 'running') expect(open).toBeGreaterThan(0);
        }
      }),
      RUNS,
    );
  });

  test('I3 an item that completed is not begun again while its step was not compensated', () => {
    fc.assert(
      play((before, transitions) => {
        for (const t of transitions) {
          if (t.type !== 'StepScheduled' || itemAt(t.step) === undefined) continue;
          const item = stepOf(before, t.step);
          const again = item.status === 'completed' && stepOf(before, itemAt(t.step)?.step ?? '').undone === undefined;
          if (again) expect(t.input).not.toEqual(item.input);
        }
      }),
      RUNS,
    );
  });
});

describe('the log', () => {
  test('folds, read back from JSON, to the live state', () => {
    fc.assert(
      play((_b, transitions, after, _input, story) => {
        expect(JSON.parse(JSON.stringify(transitions))).toStrictEqual(transitions);
        if (story.inputs.length % 10 === 0) expect(story.refold()).toStrictEqual(after);
      }),
      RUNS,
    );
  });

  test('gives the same commands again, from a state read back', () => {
    fc.assert(
      play((before, transitions, _after, { at: time }, { definition }) => {
        const again: RunState = JSON.parse(JSON.stringify(before));
        const entry = { at: time, transitions };
        expect(react(definition, again, entry)).toStrictEqual(react(definition, before, entry));
      }),
      { numRuns: 200 },
    );
  });

  test('is decided alike from a state read back, and no input is changed by deciding', () => {
    fc.assert(
      play((before, transitions, _after, input, { definition }) => {
        const frozen = structuredClone({ before, input });
        expect(decide(definition, frozen.before, frozen.input)).toStrictEqual(transitions);
        expect(frozen).toStrictEqual({ before, input });
      }),
      { numRuns: 200 },
    );
  });
});

test('histories of chance do reach every kind of end and transition', () => {
  const seen = new Set<string>();
  const statuses = new Set<string>();
  fc.assert(
    play((_before, transitions, after) => {
      for (const { type } of transitions) seen.add(type);
      statuses.add(after.status);
    }),
    { numRuns: 600, seed: 1 },
  );
  expect([...statuses].sort()).toEqual(['cancelled', 'completed', 'failed', 'new', 'running']);
  expect(seen.size, [...seen].join()).toBe(26);
});
