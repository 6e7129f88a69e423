/** The drafted evolve against the plain reference, and the order of looking at steps against walking all of them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decision,
  evolve,
  evolveEntry,
  fold,
  foldOnto,
  type RunState,
  react,
  type StoredEntry,
  type Transition,
} from '../../src/engine/index.ts';
import { ReadySteps } from '../../src/engine/model/ready-steps.ts';
import { referenceEntry, referenceEvolve, referenceFold } from '../kit/reference-evolve.ts';
import { play } from '../kit/story-of-chance.ts';

const RUNS = { numRuns: 400 };

/** Freezes what a state holds, so that changing it in place throws. */
function frozen<T>(value: T): T {
  if (value !== null && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) frozen(member);
  }
  return value;
}

describe('evolve is the reference', () => {
  test('for every transition of every history, and changes no state that it was given', () => {
    fc.assert(
      play((before, transitions, _after, { at, seq }) => {
        let [ours, plain] = [frozen(before), before];
        for (const t of transitions) {
          ours = frozen(evolve(ours, t, at));
          plain = referenceEvolve(plain, t, at);
          expect(ours).toStrictEqual(plain);
        }
        const entry: StoredEntry = { v: 1, cause: seq, at, transitions, seq: seq + 1 };
        expect(evolveEntry(before, entry)).toStrictEqual(referenceEntry(before, entry));
      }),
      RUNS,
    );
  });

  test('for whole logs, folded at once or in two parts', () => {
    fc.assert(
      play((_before, _transitions, _after, _input, { entries, definition }) => {
        if (entries.length % 7 !== 0) return;
        const whole = referenceFold(definition.name, 'r1', entries);
        expect(fold(definition.name, 'r1', entries)).toStrictEqual(whole);
        const half = frozen(fold(definition.name, 'r1', entries.slice(0, entries.length / 2)));
        expect(foldOnto(half, entries.slice(entries.length / 2))).toStrictEqual(whole);
      }),
      RUNS,
    );
  });

  test('for items of fan-outs, over chunks, in any order, done again with another number of items', () => {
    const failure = { code: 'MR_STEP_FAILED', message: 'no', retryable: true, lost: false };
    const item = fc.integer({ min: 1, max: 300 }).map((n) => ({ step: `s#${n}`, attempt: 1 + (n % 2) }));
    const one: fc.Arbitrary<Transition> = fc.oneof(
      item.map((of) => ({ type: 'StepScheduled', ...of, input: null }) as const),
      item.map((of) => ({ type: 'StepStarted', ...of, worker: 'w' }) as const),
      item.map((of) => ({ type: 'SlotGranted', ...of, slot: { limit: 'l', key: '', token: 1 } }) as const),
      item.map((of) => ({ type: 'StepCompleted', ...of, output: of.step }) as const),
      item.map((of) => ({ type: 'StepRetryScheduled', ...of, error: failure, retryAt: 9 }) as const),
      item.map((of) => ({ type: 'StepFailed', ...of, error: failure }) as const),
      item.map((of) => ({ type: 'StepCancelled', ...of, reason: 'enough' }) as const),
      item.map(({ step }) => ({ type: 'StepSkipped', step, reason: 'when' }) as const),
      item.map(({ step }) => ({ type: 'StepResumed', step }) as const),
      fc
        .integer({ min: 0, max: 300 })
        .map((count) => ({ type: 'StepFannedOut', step: 's', attempt: 1, count }) as const),
      fc.constant({ type: 'StepFannedOut', step: 's', attempt: 1, count: 140, collect: true } as const),
      fc.constant({ type: 'StepCompleted', step: 's', attempt: 1, output: null } as const),
      fc.constant({ type: 'StepScheduled', step: 'other#1', attempt: 1, input: null } as const),
    );
    fc.assert(
      fc.property(fc.array(one, { maxLength: 40 }), fc.nat({ max: 40 }), (transitions, at) => {
        const whole = transitions.map((t, i): StoredEntry => ({ v: 1, cause: i, at: i, seq: i, transitions: [t] }));
        const plain = referenceFold('w', 'r1', whole);
        expect(fold('w', 'r1', whole)).toStrictEqual(plain);
        const half = frozen(fold('w', 'r1', whole.slice(0, at)));
        expect(foldOnto(half, whole.slice(at))).toStrictEqual(plain);
        expect(whole.reduce((state, entry) => frozen(evolveEntry(state, entry)), fold('w', 'r1', []))).toStrictEqual(
          plain,
        );
        expect(JSON.parse(JSON.stringify(plain))).toStrictEqual(plain);
      }),
      { numRuns: 300 },
    );
  });

  test('keeps a step named like the prototype a step', () => {
    const skipped = { type: 'StepSkipped', step: '__proto__', reason: 'no' } as const;
    const before = fold('w', 'r1', []);
    const after = evolve(evolve(before, skipped, 1), { ...skipped, step: 'constructor' }, 1);
    const plain = referenceEvolve(referenceEvolve(before, skipped, 1), { ...skipped, step: 'constructor' }, 1);
    expect(Object.entries(after.steps)).toStrictEqual(Object.entries(plain.steps)); // matchers look past __proto__
    expect(Object.keys(after.steps)).toEqual(['__proto__', 'constructor']);
  });
});

describe('deciding', () => {
  test('gives the state that its transitions lead to', () => {
    fc.assert(
      play((before, transitions, _after, input, { definition }) => {
        const found = decision(definition, frozen(before), input);
        const plain = transitions.reduce<RunState>((state, t) => referenceEvolve(state, t, input.at), before);
        expect(found.after).toStrictEqual(plain);
      }),
      RUNS,
    );
  });

  test('gives the commands of each transition on the state right before it', () => {
    fc.assert(
      play((before, transitions, _after, { at }, { definition }) => {
        let state = before;
        const one = transitions.flatMap((t) => {
          const commands = react(definition, state, { at, transitions: [t] });
          state = referenceEvolve(state, t, at);
          return commands;
        });
        expect(react(definition, before, { at, transitions })).toStrictEqual(one);
      }),
      RUNS,
    );
  });
});

test('steps are looked at in the order of walking all of them until nothing moves', () => {
  const edges = fc.integer({ min: 1, max: 12 }).chain((width) =>
    fc.record({
      width: fc.constant(width),
      edges: fc.array(fc.tuple(fc.nat({ max: width - 1 }), fc.nat({ max: width - 1 })), { maxLength: 20 }),
    }),
  );
  fc.assert(
    fc.property(edges, ({ width, edges: arrows }) => {
      const needs = (place: number): number[] => arrows.flatMap(([from, to]) => (to === place ? [from] : []));
      const places = Array.from({ length: width }, (_, place) => place);
      const walked: number[] = [];
      for (let moved = true; moved; ) {
        moved = false;
        for (const place of places) {
          if (walked.includes(place) || !needs(place).every((need) => walked.includes(need))) continue;
          walked.push(place);
          moved = true;
        }
      }
      const ready = new ReadySteps(width);
      ready.add(places.filter((place) => needs(place).length === 0));
      const looked: number[] = [];
      for (let place = ready.take(); place !== undefined; place = ready.take()) {
        if (looked.includes(place) || !needs(place).every((need) => looked.includes(need))) continue;
        looked.push(place);
        ready.add(arrows.flatMap(([from, to]) => (from === place ? [to] : [])));
      }
      expect(looked).toEqual(walked);
    }),
    { numRuns: 1_000 },
  );
});
