/** The policy of the bridge as tables (docs/reconcile.md, R1 to R5). */
import { describe, expect, test } from 'vitest';
import {
  type Attempt,
  agrees,
  attemptsOf,
  diff,
  type Live,
  needsQueued,
  PATIENCE,
  type Verdict,
} from '../../../src/bridge/reconcile/index.ts';
import type { FlowState } from '../../../src/engine/index.ts';

const NOW = 1_000_000;
/** Longer than any patience. */
const LONG = 500_000;

type Type = FlowState['type'];
const TYPES: readonly Type[] = [
  'SCHEDULED',
  'PENDING',
  'RUNNING',
  'PAUSED',
  'CANCELLING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'CRASHED',
];

const state = (type: Type, ageMs = LONG): FlowState => ({ type, name: type, message: undefined, at: NOW - ageMs });
const live = (type: Type, ageMs = LONG): Live => ({ kind: 'run', flowRunId: 'f1', state: state(type, ageMs) });
const NONE: Live = { kind: 'none' };

function attempt(verdict: Verdict, noted?: Type, endedAgo = LONG): Attempt {
  return {
    step: 's',
    attempt: 1,
    verdict,
    scheduledAt: NOW - 2 * LONG,
    ...(verdict === 'open' ? {} : { endedAt: NOW - endedAgo }),
    ...(noted === undefined ? {} : { flow: { flowRunId: 'f1', state: state(noted) } }),
  };
}

const HELD = { run: true, collect: false };
const FREE = { run: false, collect: false };
const COLLECTING = { run: false, collect: true };

/** A plan as one short line. */
function line(...[a, l, facts]: Parameters<typeof diff>): string {
  const { actions, next } = diff(a, l, facts);
  const words = actions.map((action) => {
    switch (action.kind) {
      case 'dispatch':
        return `dispatch ${action.action}`;
      case 'report':
        return `report ${action.state.type}`;
      case 'set':
        return `set ${action.type}${action.force ? '!' : ''}`;
      default:
        return action.kind;
    }
  });
  return [...words, next.kind].join(', ');
}

const facts = (queued?: typeof HELD, deploymentExists?: boolean) => ({ now: NOW, queued, deploymentExists });

describe('R1: an open attempt', () => {
  test('without a flow run gets one, unless its deployment does not exist', () => {
    expect(line(attempt('open'), NONE, facts())).toBe('create, again');
    expect(line(attempt('open'), NONE, facts(undefined, true))).toBe('create, again');
    expect(line(attempt('open'), NONE, facts(undefined, false))).toBe('failMissingDeployment, done');
  });

  test('whose flow run is gone from Prefect is lost', () => {
    expect(diff(attempt('open', 'RUNNING'), NONE, facts())).toEqual({
      actions: [
        {
          kind: 'report',
          state: { type: 'CRASHED', name: 'Crashed', message: 'flow run f1 is not in Prefect any more', at: NOW },
        },
      ],
      next: { kind: 'done' },
    });
  });

  const HELD_BY_A_HOST: Record<Type, string> = {
    SCHEDULED: 'done',
    PENDING: 'done',
    RUNNING: 'done',
    PAUSED: 'done',
    CANCELLING: 'set CANCELLED!, again',
    COMPLETED: 'after',
    FAILED: 'report FAILED, done',
    CANCELLED: 'report CANCELLED, done',
    CRASHED: 'report CRASHED, done',
  };
  test.each(TYPES)('long %s while a host holds the dispatch', (type) => {
    expect(line(attempt('open', type), live(type), facts(HELD))).toBe(HELD_BY_A_HOST[type]);
  });

  const HELD_BY_NOBODY: Record<Type, string> = {
    ...HELD_BY_A_HOST,
    SCHEDULED: 'dispatch run, done',
    PENDING: 'set CRASHED!, again',
    RUNNING: 'set CRASHED!, again',
    COMPLETED: 'dispatch collect, after',
  };
  test.each(TYPES)('long %s while nobody holds the dispatch', (type) => {
    expect(line(attempt('open', type), live(type), facts(FREE))).toBe(HELD_BY_NOBODY[type]);
  });

  const NOT_LOOKED_UP: Record<Type, string> = { ...HELD_BY_A_HOST };
  test.each(TYPES)('long %s while it is not known who holds the dispatch: nothing is taken for lost', (type) => {
    expect(line(attempt('open', type), live(type), facts())).toBe(NOT_LOOKED_UP[type]);
  });

  const JUST_NOW: Record<Type, string> = {
    SCHEDULED: 'report SCHEDULED, dispatch run, done',
    PENDING: 'report PENDING, done',
    RUNNING: 'report RUNNING, done',
    PAUSED: 'report PAUSED, done',
    CANCELLING: 'report CANCELLING, stop, after',
    COMPLETED: 'after',
    FAILED: 'after',
    CANCELLED: 'report CANCELLED, done',
    CRASHED: 'after',
  };
  test.each(TYPES)('just %s, held, and the log knows of no flow run', (type) => {
    expect(line(attempt('open'), live(type, 0), facts(HELD))).toBe(JUST_NOW[type]);
  });

  test('a failure that nobody holds is reported at once', () => {
    expect(line(attempt('open', 'RUNNING'), live('FAILED', 0), facts(FREE))).toBe('report FAILED, done');
  });

  test('R4: COMPLETED is never reported, and is collected by one host at a time', () => {
    expect(line(attempt('open', 'RUNNING'), live('COMPLETED'), facts(COLLECTING))).toBe('after');
    for (const type of TYPES) {
      for (const verdict of ['open', 'completed', 'failed', 'lost', 'cancelled'] as const) {
        const { actions } = diff(attempt(verdict, 'RUNNING'), live(type), facts(FREE));
        expect(actions.filter((a) => a.kind === 'report' && a.state.type === 'COMPLETED')).toEqual([]);
      }
    }
  });

  test('a dispatch that is repeated has another number, a look at the same time has the same', () => {
    const n = (ageMs: number): number[] =>
      diff(attempt('open', 'SCHEDULED'), live('SCHEDULED', ageMs), facts(FREE)).actions.map((a) =>
        a.kind === 'dispatch' ? a.n : -1,
      );
    expect([n(0), n(PATIENCE.dispatchMs - 1), n(PATIENCE.dispatchMs), n(PATIENCE.dispatchMs + 10)]).toEqual([
      [],
      [],
      [2],
      [2],
    ]);
  });
});

describe('an attempt that its run has told to stop', () => {
  const stopping: Attempt = { ...attempt('open', 'RUNNING'), stopping: 'enough' };
  const WANTED: Record<Type, string> = {
    SCHEDULED: 'set CANCELLING, again',
    PENDING: 'set CANCELLING, again',
    RUNNING: 'set CANCELLING, again',
    PAUSED: 'set CANCELLING, again',
    CANCELLING: 'after',
    COMPLETED: 'after',
    FAILED: 'report FAILED, done',
    CANCELLED: 'report CANCELLED, done',
    CRASHED: 'report CRASHED, done',
  };
  test.each(TYPES)('finds its flow run %s', (type) => {
    const wanted = type === 'CANCELLING' ? 'stop, after' : WANTED[type];
    expect(line(stopping, live(type, type === 'CANCELLING' ? 100 : LONG), facts(HELD))).toContain(wanted);
  });

  test('gets no flow run any more', () => {
    expect(line({ ...attempt('open'), stopping: 'enough' }, NONE, facts())).toBe('done');
  });

  test('is found by the sweep until Prefect knows', () => {
    expect([agrees(stopping, live('RUNNING')), agrees(stopping, live('CANCELLING'))]).toEqual([false, true]);
    expect(agrees(attempt('open', 'RUNNING'), live('RUNNING'))).toBe(true);
  });

  test('is told by the log: only attempts that are out, and only when they have time', () => {
    const at = NOW;
    const scheduled = (step: string) => ({ type: 'StepScheduled', step, attempt: 1, input: null }) as const;
    const done = { type: 'StepCompleted', step: 'a', attempt: 1, output: null } as const;
    const closing = (graceMs?: number) =>
      ({
        type: 'RunClosing',
        outcome: 'cancelled',
        reason: 'enough',
        ...(graceMs === undefined ? {} : { graceMs }),
      }) as const;
    const stopped = (graceMs?: number) =>
      [
        ...attemptsOf([
          { at, transitions: [scheduled('a'), scheduled('b'), done, closing(graceMs)] },
        ]).attempts.values(),
      ].map((one) => one.stopping);
    expect(stopped(5_000)).toEqual([undefined, 'enough']);
    expect(stopped()).toEqual([undefined, undefined]);
  });

  test('that is paused is over for Prefect', () => {
    const error = { code: 'X', message: 'no', retryable: true, lost: false };
    const transitions = [
      { type: 'StepScheduled', step: 'a', attempt: 1, input: null },
      { type: 'StepPaused', step: 'a', attempt: 1, error },
    ] as const;
    const [one] = attemptsOf([{ at: NOW, transitions }]).attempts.values();
    expect(one).toMatchObject({ verdict: 'failed', error });
  });
});

describe('R2, R3: an attempt that is over', () => {
  const OVER: Record<string, Record<Type, string>> = {
    completed: {
      SCHEDULED: 'set COMPLETED!, again',
      PENDING: 'set COMPLETED!, again',
      RUNNING: 'set COMPLETED!, again',
      PAUSED: 'set COMPLETED!, again',
      CANCELLING: 'set COMPLETED!, again',
      COMPLETED: 'done',
      FAILED: 'set COMPLETED!, again',
      CANCELLED: 'set COMPLETED!, again',
      CRASHED: 'set COMPLETED!, again',
    },
    lost: {
      SCHEDULED: 'set CRASHED!, again',
      PENDING: 'set CRASHED!, again',
      RUNNING: 'set CRASHED!, again',
      PAUSED: 'set CRASHED!, again',
      CANCELLING: 'set CRASHED!, again',
      COMPLETED: 'set CRASHED!, again',
      FAILED: 'set CRASHED!, again',
      CANCELLED: 'set CRASHED!, again',
      CRASHED: 'done',
    },
    cancelled: {
      SCHEDULED: 'set CANCELLING, again',
      PENDING: 'set CANCELLING, again',
      RUNNING: 'set CANCELLING, again',
      PAUSED: 'set CANCELLING, again',
      CANCELLING: 'set CANCELLED!, again',
      COMPLETED: 'done',
      FAILED: 'done',
      CANCELLED: 'done',
      CRASHED: 'done',
    },
  };
  // A failure of the engine's own making (a timeout) ends the flow run like a cancel.
  OVER['failed'] = OVER['cancelled'] ?? ({} as Record<Type, string>);

  for (const verdict of ['completed', 'lost', 'cancelled', 'failed'] as const) {
    test.each(TYPES.filter((type) => !(verdict === 'failed' && type === 'FAILED')))(
      `${verdict} in the log, %s in Prefect`,
      (type) => {
        expect(line(attempt(verdict, type), live(type), facts(FREE))).toBe(OVER[verdict]?.[type]);
      },
    );
    test(`${verdict} in the log, no flow run`, () => {
      expect(line(attempt(verdict), NONE, facts())).toBe('done');
      expect(line(attempt(verdict, 'RUNNING'), NONE, facts())).toBe('done');
    });
  }

  test.each(TYPES)('failed by its flow run, %s in Prefect', (type) => {
    const expected = type === 'FAILED' ? 'done' : 'set FAILED!, again';
    expect(line(attempt('failed', 'FAILED'), live(type), facts(FREE))).toBe(expected);
  });

  test('Prefect gets time to learn of an end that the log knows, unless the attempt was lost', () => {
    expect(diff(attempt('completed', 'COMPLETED', 4_000), live('RUNNING'), facts())).toEqual({
      actions: [],
      next: { kind: 'after', ms: PATIENCE.settleMs - 4_000 },
    });
    expect(line(attempt('lost', 'CRASHED', 0), live('RUNNING'), facts())).toBe('set CRASHED!, again');
  });

  test('how its flow run ended is told to the log, for the record', () => {
    expect(line(attempt('cancelled', 'RUNNING'), live('CANCELLED'), facts())).toBe('report CANCELLED, done');
    expect(line(attempt('cancelled', 'RUNNING'), live('FAILED'), facts())).toBe('report FAILED, done');
    expect(line(attempt('cancelled', 'RUNNING'), live('COMPLETED'), facts(FREE))).toBe('dispatch collect, after');
    expect(line(attempt('cancelled', 'RUNNING'), live('COMPLETED'), facts(HELD))).toBe('after');
    expect(line(attempt('completed', 'RUNNING'), live('COMPLETED'), facts())).toBe('done');
  });

  test('a host gets time to stop a flow, one that nobody holds is stopped at once', () => {
    expect(line(attempt('cancelled', 'RUNNING'), live('CANCELLING', 5_000), facts(HELD))).toBe('stop, after');
    expect(line(attempt('cancelled', 'RUNNING'), live('CANCELLING', 5_000), facts(FREE))).toBe('set CANCELLED!, again');
    expect(line(attempt('cancelled', 'RUNNING'), live('CANCELLING', 0), facts(FREE))).toBe('stop, after');
  });
});

test('Prefect that cannot be reached changes nothing and is asked again', () => {
  for (const verdict of ['open', 'completed', 'failed', 'lost', 'cancelled'] as const) {
    expect(diff(attempt(verdict, 'RUNNING'), { kind: 'unreachable', reason: 'down' }, facts())).toEqual({
      actions: [],
      next: { kind: 'retry', reason: 'down' },
    });
  }
});

test('R5: sides that agree and are settled give no actions', () => {
  for (const verdict of ['open', 'completed', 'failed', 'lost', 'cancelled'] as const) {
    for (const type of TYPES.filter((t) => t !== 'CANCELLING')) {
      const a = attempt(verdict, type);
      if (!agrees(a, live(type))) continue;
      expect(diff(a, live(type), facts(HELD)).actions, `${verdict} ${type}`).toEqual([]);
    }
  }
});

test('the dispatch queue is read whenever it would make a difference', () => {
  const ages = [0, PATIENCE.reportMs, PATIENCE.dispatchMs, PATIENCE.heldReportMs, PATIENCE.zombieMs, LONG];
  let reads = 0;
  for (const verdict of ['open', 'completed', 'failed', 'lost', 'cancelled'] as const) {
    for (const type of TYPES) {
      for (const noted of [undefined, ...TYPES]) {
        for (const ageMs of ages) {
          const [a, l] = [attempt(verdict, noted), live(type, ageMs)];
          if (needsQueued(a, l, NOW)) {
            reads++;
            continue;
          }
          for (const queued of [HELD, FREE, COLLECTING]) {
            expect(diff(a, l, facts(queued)), `${verdict} ${type} ${noted} ${ageMs}`).toEqual(diff(a, l, facts()));
          }
        }
      }
    }
  }
  expect(reads).toBeGreaterThan(0);
});

test('the table of agreement', () => {
  const agreeing = (verdict: Verdict, noted: Type | undefined): string[] => [
    ...TYPES.filter((type) => agrees(attempt(verdict, noted), live(type))),
    ...(agrees(attempt(verdict, noted), NONE) ? ['none'] : []),
  ];
  expect(agreeing('open', 'RUNNING')).toEqual(['SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING']);
  expect(agreeing('completed', 'COMPLETED')).toEqual(['COMPLETED']);
  expect(agreeing('lost', 'CRASHED')).toEqual(['CRASHED', 'none']);
  expect(agreeing('failed', 'FAILED')).toEqual(['FAILED']);
  expect(agreeing('failed', undefined)).toEqual(['CANCELLED', 'none']);
  expect(agreeing('failed', 'CRASHED')).toEqual(['CANCELLED', 'CRASHED']);
  expect(agreeing('cancelled', 'CANCELLED')).toEqual(['CANCELLED']);
  expect(agreeing('cancelled', 'COMPLETED')).toEqual(['COMPLETED', 'CANCELLED']);
  expect(agreeing('cancelled', undefined)).toEqual(['CANCELLED', 'none']);
});
