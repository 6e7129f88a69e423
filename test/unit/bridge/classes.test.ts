/** What differences are called, and that the docs know every name. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  type Attempt,
  agrees,
  DRIFT_CLASSES,
  type DriftClass,
  diff,
  driftClassOf,
  type Live,
  type Verdict,
} from '../../../src/bridge/reconcile/index.ts';
import type { FlowState } from '../../../src/engine/index.ts';

const NOW = 1_000_000;
const LONG = 500_000;
type Type = FlowState['type'];

const state = (type: Type, ageMs = LONG, name: string = type): FlowState => ({
  type,
  name,
  message: undefined,
  at: NOW - ageMs,
});
const live = (type: Type, ageMs = LONG, name?: string): Live => ({
  kind: 'run',
  flowRunId: 'f1',
  state: state(type, ageMs, name),
});
const NONE: Live = { kind: 'none' };
const FREE = { run: false, collect: false };
const HELD = { run: true, collect: false };

interface Case {
  readonly verdict: Verdict;
  readonly noted?: FlowState;
  readonly stopping?: string;
  readonly live: Live;
  readonly queued?: typeof FREE;
  readonly deploymentExists?: boolean;
}

function attemptOf({ verdict, noted, stopping }: Case): Attempt {
  return {
    ...{ step: 's', attempt: 1, verdict, scheduledAt: NOW - 2 * LONG },
    ...(verdict === 'open' ? {} : { endedAt: NOW - LONG }),
    ...(stopping === undefined ? {} : { stopping }),
    ...(noted === undefined ? {} : { flow: { flowRunId: 'f1', state: noted } }),
  };
}

function classOf(one: Case): DriftClass | undefined {
  const attempt = attemptOf(one);
  const { queued = FREE, deploymentExists = true } = one;
  return driftClassOf(attempt, one.live, diff(attempt, one.live, { now: NOW, queued, deploymentExists }));
}

const seen = (type: Type): FlowState => state(type, LONG + 1);

const CASES: readonly (readonly [DriftClass, Case])[] = [
  ['never-created', { verdict: 'open', live: NONE }],
  ['deployment-gone', { verdict: 'open', live: NONE, deploymentExists: false }],
  ['created-unseen', { verdict: 'open', live: live('SCHEDULED') }],
  ['created-unseen', { verdict: 'open', live: live('RUNNING', 10) }],
  ['deleted-there', { verdict: 'open', noted: seen('RUNNING'), live: NONE }],
  ['dispatch-lost', { verdict: 'open', noted: seen('SCHEDULED'), live: live('SCHEDULED') }],
  ['claimed-and-died', { verdict: 'open', noted: seen('PENDING'), live: live('PENDING') }],
  ['zombie', { verdict: 'open', noted: seen('RUNNING'), live: live('RUNNING') }],
  ['state-unseen', { verdict: 'open', noted: seen('SCHEDULED'), live: live('RUNNING', 10), queued: HELD }],
  [
    'rescheduled-there',
    { verdict: 'open', noted: seen('RUNNING'), live: live('SCHEDULED', 10, 'AwaitingRetry'), queued: HELD },
  ],
  ['restored-there', { verdict: 'open', noted: state('RUNNING', 5), live: live('PENDING', 10), queued: HELD }],
  [
    'restored-there',
    { verdict: 'open', noted: state('RUNNING', 5), live: live('SCHEDULED', 10, 'Scheduled'), queued: HELD },
  ],
  ['paused-there', { verdict: 'open', noted: seen('RUNNING'), live: live('PAUSED') }],
  ['completed-unseen', { verdict: 'open', noted: seen('RUNNING'), live: live('COMPLETED') }],
  ['failed-unseen', { verdict: 'open', noted: seen('RUNNING'), live: live('FAILED') }],
  ['failed-unseen', { verdict: 'open', noted: seen('RUNNING'), live: live('CRASHED') }],
  ['cancelled-there', { verdict: 'open', noted: seen('RUNNING'), live: live('CANCELLED') }],
  ['cancelling', { verdict: 'open', noted: seen('RUNNING'), live: live('CANCELLING', 10), queued: HELD }],
  ['cancelling-stuck', { verdict: 'open', noted: seen('RUNNING'), live: live('CANCELLING') }],
  [
    'cancelled-here',
    { verdict: 'open', noted: seen('RUNNING'), stopping: 'enough', live: live('RUNNING', 10), queued: HELD },
  ],
  ['cancelled-here', { verdict: 'cancelled', noted: seen('RUNNING'), live: live('RUNNING') }],
  ['ended-here', { verdict: 'failed', noted: seen('RUNNING'), live: live('RUNNING') }],
  ['ended-here', { verdict: 'completed', noted: seen('RUNNING'), live: live('RUNNING') }],
  ['changed-by-hand', { verdict: 'completed', noted: seen('COMPLETED'), live: live('FAILED', 10) }],
  ['changed-by-hand', { verdict: 'completed', noted: seen('COMPLETED'), live: live('RUNNING', 10) }],
  ['restored-there', { verdict: 'completed', noted: state('COMPLETED', 5), live: live('RUNNING', 10) }],
  ['end-unrecorded', { verdict: 'cancelled', noted: seen('RUNNING'), live: live('FAILED') }],
  ['completed-unseen', { verdict: 'cancelled', noted: seen('RUNNING'), live: live('COMPLETED') }],
  ['cancelling-stuck', { verdict: 'cancelled', noted: seen('RUNNING'), live: live('CANCELLING') }],
];

test.each(CASES)('%s: %j', (name, one) => {
  expect(classOf(one)).toBe(name);
});

test('two sides that agree have no class', () => {
  for (const one of [
    { verdict: 'open', noted: state('RUNNING', 10), live: live('RUNNING', 10), queued: HELD },
    { verdict: 'completed', noted: seen('COMPLETED'), live: live('COMPLETED') },
    { verdict: 'cancelled', noted: seen('CANCELLED'), live: live('CANCELLED') },
  ] as const satisfies readonly Case[]) {
    expect(agrees(attemptOf(one), one.live)).toBe(true);
    expect(classOf(one)).toBeUndefined();
  }
});

describe('docs/reconciliation.md', () => {
  const text = readFileSync(fileURLToPath(new URL('../../../docs/reconciliation.md', import.meta.url)), 'utf8');
  const rows = new Map(
    [...text.matchAll(/^\| `([a-z-]+)` \| (.+) \| (.+) \| (.+) \|$/gm)].map(([, name = '', ...cells]) => [name, cells]),
  );

  test('has a row for each class and for nothing else', () => {
    expect([...rows.keys()].sort()).toEqual(Object.keys(DRIFT_CLASSES).sort());
  });

  test('says of each what it is, as the table on the screen does, and names tests that exist', () => {
    for (const [name, [detection, , tests = '']] of rows) {
      expect(detection).toBe(DRIFT_CLASSES[name as DriftClass]);
      const files = [...tests.matchAll(/`([^`]+\.ts)`/g)].map(([, file = '']) => file);
      expect(files.length, name).toBeGreaterThan(0);
      for (const file of files) {
        expect(existsSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url))), file).toBe(true);
      }
    }
  });

  test('each class has a case here, but settling, which is none of the policy', () => {
    expect([...new Set(CASES.map(([name]) => name)), 'settling'].sort()).toEqual(Object.keys(DRIFT_CLASSES).sort());
  });
});
