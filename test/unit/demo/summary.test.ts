import { describe, expect, it } from 'vitest';
import { type Closing, percentile, quantiles, summarize, summaryLines, timesOf } from '../../../ops/demo/summary.ts';
import type { StoredEntry, Transition } from '../../../src/engine/index.ts';

let seq = 0;
const entry = (at: number, ...transitions: Transition[]): StoredEntry => ({ v: 1, cause: ++seq, seq, at, transitions });
const started = (storedAt: number): Transition => ({
  type: 'RunStarted',
  digest: 'd',
  payload: null,
  trace: { traceparent: '' },
  source: { stream: 'S', sequence: 7, subject: 'a.b', trigger: 't', storedAt },
});
const running: Transition = {
  type: 'FlowStateChanged',
  step: 'compute',
  attempt: 1,
  flowRunId: 'f',
  state: { type: 'RUNNING', name: 'Running', message: undefined, at: 0 },
  source: 'host',
};
const error = { code: 'MR_STEP_FAILED', message: 'row 3 is bad', retryable: false, lost: false };

describe('percentile (nearest rank)', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  it.each([
    [values, 0.5, 50],
    [values, 0.99, 99],
    [values, 1, 100],
    [[7], 0.99, 7],
    [[3, 1, 2], 0.5, 2],
    [[], 0.5, undefined],
  ])('%#', (of, share, expected) => expect(percentile(of, share)).toBe(expected));

  it('given no values: no quantiles', () => expect(quantiles([])).toBeUndefined());
});

describe('timesOf', () => {
  it('given a run that completed: times from the storing of its message', () => {
    const entries = [entry(1_010, started(1_000)), entry(1_500, running), entry(2_000, { type: 'RunCompleted' })];
    expect(timesOf(entries)).toEqual({ toRunning: 500, toEnd: 1_000 });
  });

  it('given two flow runs: the first RUNNING counts', () => {
    expect(timesOf([entry(10, started(0)), entry(20, running), entry(90, running)])).toEqual({
      toRunning: 20,
      toEnd: undefined,
    });
  });

  it('given a run by hand: no source, no times', () => {
    const byHand: Transition = { type: 'RunStarted', digest: 'd', payload: null, trace: { traceparent: '' } };
    expect(timesOf([entry(1, byHand), entry(2, { type: 'RunCompleted' })])).toEqual({
      toRunning: undefined,
      toEnd: undefined,
    });
  });
});

const runs = [
  {
    workflow: 'delay-report',
    runId: 'bad',
    entries: [
      entry(10, started(0), { type: 'StepScheduled', step: 'validate', attempt: 1, input: null }),
      entry(
        20,
        { type: 'StepFailed', step: 'validate', attempt: 1, error },
        { type: 'RunFailed', error, step: 'validate' },
      ),
    ],
  },
  {
    workflow: 'quake-alert',
    runId: 'good',
    entries: [
      entry(10, started(0), { type: 'StepScheduled', step: 'enrich', attempt: 3, input: null }),
      entry(30, running),
      entry(50, { type: 'StepCompleted', step: 'publish', attempt: 1, output: null }, { type: 'RunCompleted' }),
    ],
  },
];

describe('summarize', () => {
  it('given runs of two workflows: outcomes, times, retries and failures of each', () => {
    expect(summarize(runs)).toEqual([
      {
        workflow: 'delay-report',
        outcomes: { failed: 1 },
        toRunning: undefined,
        toEnd: { count: 1, p50: 20, p99: 20 },
        retries: 0,
        failed: [
          {
            runId: 'bad',
            step: 'validate',
            reason: 'row 3 is bad',
            source: { stream: 'S', sequence: 7, subject: 'a.b', trigger: 't', storedAt: 0 },
          },
        ],
      },
      {
        workflow: 'quake-alert',
        outcomes: { 'completed, published after review': 1 },
        toRunning: { count: 1, p50: 30, p99: 30 },
        toEnd: { count: 1, p50: 50, p99: 50 },
        retries: 2,
        failed: [],
      },
    ]);
  });
});

describe('summaryLines', () => {
  const closing: Closing = {
    published: 1_797,
    elapsedMs: 61_000,
    agreement: { agree: 1, total: 1, notes: [] },
    deadLetters: { bad: 'dead.run.delay-report.bad' },
    prefectUi: 'http://p',
    trace: { runId: 'good', url: 'http://j/trace/t', traceId: 't', spans: 9 },
    cli: 'millrace',
    envFile: '.millrace/run/default/env',
    exampleRun: 'good',
    make: 'make',
  };

  it('given a whole demo: the lines as they are printed', () => {
    expect(summaryLines(summarize(runs), closing)).toMatchSnapshot();
  });

  it('given no comparison: says so instead of claiming one', () => {
    const lines = summaryLines(summarize(runs), { ...closing, agreement: undefined });
    expect(lines).toContain('Streams and Prefect could not be compared.');
    expect(lines.some((line) => line.includes('agree on'))).toBe(false);
  });

  it('given a disagreement: names it', () => {
    const agreement = { agree: 0, total: 1, notes: ['run x, step y'] };
    const lines = summaryLines(summarize(runs), { ...closing, agreement });
    expect(lines).toContain('Streams and Prefect agree on 0 of 1 flow runs.');
    expect(lines).toContain('  run x, step y');
  });
});
