/** Whatever valid manifest is written, and however: the same definition comes out. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { canonicalJson } from '../../src/kernel/index.ts';
import {
  checkManifests,
  desiredState,
  digestOf,
  formatPlanFile,
  openSealed,
  parsePlanFile,
  planChanges,
} from '../../src/manifests/index.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const parameters = { seed, numRuns: 150 };
console.log(`property seed: ${seed} (SEED=${seed} repeats it)`);

type Tree = null | boolean | number | string | readonly Tree[] | { readonly [key: string]: Tree };

const duration = fc.constantFrom('1ms', '250ms', '1.5s', '30s', '10m', '1h30m', '7d');
const word = fc.constantFrom('alpha', 'beta-2', 'gamma_3', 'delta', 'x', 'Y9');
const optional = fc.boolean();

const action = fc.oneof(
  fc.record({ run: fc.record({ worker: fc.constantFrom('h.one', 'two'), queue: word }, { requiredKeys: ['worker'] }) }),
  fc.record({
    run: fc.record({ prefect: fc.constantFrom('f/d', 'a flow/main'), pool: word }, { requiredKeys: ['prefect'] }),
  }),
  fc.record({ sleep: duration }),
  fc.record({
    waitForSignal: fc.record(
      { name: word, timeout: duration, onTimeout: fc.constantFrom('continue', 'fail') },
      { requiredKeys: ['name'] },
    ),
  }),
);
const retry = fc.record(
  {
    maxAttempts: fc.integer({ min: 1, max: 9 }),
    factor: fc.constantFrom(1, 1.5, 2),
    jitter: fc.constantFrom(0, 0.5, 1),
    maxLost: fc.nat(20),
  },
  { requiredKeys: [] },
);

/** Steps s0…; each needs some of those before it; then they are shuffled. */
const steps = fc
  .array(fc.tuple(action, fc.array(fc.nat(), { maxLength: 3 }), retry, duration, optional, optional), {
    minLength: 1,
    maxLength: 8,
  })
  .chain((parts) => {
    const made = parts.map(([does, picks, tries, timeout, hasRetry, hasWhen], index) => {
      const needs = index === 0 ? [] : [...new Set(picks.map((pick) => `s${pick % index}`))];
      const first = needs[0];
      const when = first === undefined ? 'payload.n > 1' : `has(steps.${first}) && payload.n > 1`;
      const extra = { ...(hasRetry ? { retry: tries } : {}), ...(hasWhen ? { when } : {}) };
      return { name: `s${index}`, needs, ...does, ...extra, ...('run' in does ? { timeout } : {}) };
    });
    return fc.shuffledSubarray(made, { minLength: made.length, maxLength: made.length });
  });

const workflow = fc.record({ steps, deadLetter: fc.boolean(), timeout: duration }, { requiredKeys: ['steps'] }).map(
  (spec): Tree =>
    ({
      apiVersion: 'millrace/v1',
      kind: 'Workflow',
      metadata: { name: 'w' },
      spec: { ...spec, triggers: [{ name: 't', stream: 'S', subject: 'a.*' }] },
    }) as unknown as Tree,
);

const stream = fc
  .record(
    {
      retention: fc.constantFrom('limits', 'interest'),
      maxAge: duration,
      maxBytes: fc.constantFrom('1MiB', 1_024),
      discard: fc.constantFrom('old', 'new'),
    },
    { requiredKeys: [] },
  )
  .map(
    (spec): Tree => ({
      apiVersion: 'millrace/v1',
      kind: 'Stream',
      metadata: { name: 'S' },
      spec: { subjects: ['a.*'], ...spec },
    }),
  );

/** The same value with the keys of every object in another order. */
function reversed(value: Tree): Tree {
  if (Array.isArray(value)) return value.map((item: Tree) => reversed(item));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}

function checked(...documents: readonly Tree[]) {
  const text = documents.map((document) => stringify(document)).join('---\n');
  const result = checkManifests([{ file: 'm.yaml', text }]);
  expect(result.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return result;
}

describe('any valid manifest', () => {
  test('gives a definition whose steps come after what they need, under its digest', () => {
    fc.assert(
      fc.property(stream, workflow, (s, w) => {
        const [definition] = checked(s, w).definitions;
        if (definition === undefined) throw new Error('no definition');
        const seen = new Set<string>();
        for (const step of definition.steps) {
          for (const need of step.needs) expect(seen.has(need)).toBe(true);
          seen.add(step.name);
        }
        expect(definition.digest).toBe(digestOf(definition));
        expect(openSealed(canonicalJson(definition), 'w')).toEqual(definition);
      }),
      parameters,
    );
  });

  test('means the same whatever the order of keys and documents, in YAML and in JSON', () => {
    fc.assert(
      fc.property(stream, workflow, (s, w) => {
        const one = checked(s, w);
        const two = checked(reversed(w), reversed(s));
        expect(two.definitions).toEqual(one.definitions);
        expect(two.streams).toEqual(one.streams);
        const json = checkManifests([s, w].map((value, i) => ({ file: `${i}.json`, text: JSON.stringify(value) })));
        expect(json.definitions).toEqual(one.definitions);
      }),
      parameters,
    );
  });

  test('survives being written down as a plan', () => {
    fc.assert(
      fc.property(stream, workflow, (s, w) => {
        const live = { clustered: false, streams: {}, consumers: {}, bucket: false, definitions: {} };
        const plan = planChanges(desiredState(checked(s, w)), live);
        expect(parsePlanFile(formatPlanFile(plan), 'p')).toEqual(plan);
      }),
      parameters,
    );
  });
});

describe('any text at all', () => {
  test('gives problems, never an exception', () => {
    const junk = fc.oneof(
      fc.string(),
      fc.json(),
      workflow.map((w) => stringify(w)).chain((text) => fc.nat(text.length).map((n) => text.slice(0, n))),
    );
    fc.assert(
      fc.property(junk, (text) => {
        const { problems, definitions } = checkManifests([{ file: 'm.yaml', text }]);
        for (const { place } of problems) {
          expect(place.line).toBeGreaterThan(0);
          expect(place.column).toBeGreaterThan(0);
        }
        if (problems.some(({ severity }) => severity === 'error')) expect(definitions).toEqual([]);
      }),
      { ...parameters, numRuns: 400 },
    );
  });
});
