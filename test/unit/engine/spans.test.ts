/** Spans made from the journal (R7): one per attempt, one per run, with the journal's times. */
import { describe, expect, it } from 'vitest';
import { decide, evolveEntry, type InputBody, newRun, spansOf } from '../../../src/engine/index.ts';
import { spanIdOf } from '../../../src/kernel/index.ts';
import type { SpanRecord } from '../../../src/telemetry/index.ts';
import { define, workerStep } from '../../kit/workflows.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const definition = define('w', [workerStep('a'), workerStep('b', ['a'])]);
const start = (flags = '01'): InputBody => ({
  ...{ v: 1, kind: 'start', digest: definition.digest, payload: null },
  trace: { traceparent: `00-${TRACE}-b7ad6b7169203331-${flags}` },
});
const failed = (step: string, attempt: number): InputBody => ({
  ...{ v: 1, kind: 'task.failed', step, attempt },
  error: { code: 'MR_STEP_FAILED', message: 'no', retryable: true, lost: false },
});
const succeeded = (step: string, attempt: number): InputBody => ({
  ...{ v: 1, kind: 'task.succeeded', step, attempt, output: 1 },
});

/** All spans of a run that is given these inputs, one every 100 ms. */
function spansFor(...bodies: InputBody[]): SpanRecord[] {
  let state = newRun('w', 'r');
  const spans: SpanRecord[] = [];
  for (const [i, body] of bodies.entries()) {
    const [seq, at] = [2 * i + 1, 1_000 + 100 * i];
    const entry = { v: 1, cause: seq, at, transitions: decide(definition, state, { seq, at, body }) } as const;
    spans.push(...spansOf(state, entry));
    state = evolveEntry(state, { ...entry, seq: seq + 1 });
  }
  return spans;
}

describe('spansOf', () => {
  it('gives each attempt its span under the run, and the run its own under the trigger', () => {
    const spans = spansFor(
      start(),
      failed('a', 1),
      { v: 1, kind: 'timer', timer: 'retry/a/1' },
      succeeded('a', 2),
      succeeded('b', 1),
    );
    expect(spans.map(({ name, startMs, endMs, error }) => ({ name, startMs, endMs, error }))).toEqual([
      { name: 'step a', startMs: 1_000, endMs: 1_100, error: 'no' },
      { name: 'step a', startMs: 1_200, endMs: 1_300, error: undefined },
      { name: 'step b', startMs: 1_300, endMs: 1_400, error: undefined },
      { name: 'run w', startMs: 1_000, endMs: 1_400, error: undefined },
    ]);
    expect(spans.map(({ spanId }) => spanId)).toEqual(
      ['step/a/1', 'step/a/2', 'step/b/1', 'run'].map((part) => spanIdOf('r', part)),
    );
    const parents = [...Array<string>(3).fill(spanIdOf('r', 'run')), 'b7ad6b7169203331'];
    expect(spans.map(({ parentSpanId }) => parentSpanId)).toEqual(parents);
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
    expect(spans[0]?.attributes).toMatchObject({
      'millrace.outcome': 'retrying',
      'millrace.error.code': 'MR_STEP_FAILED',
    });
  });

  it('ends an attempt once: a cancel during its backoff ends the run only', () => {
    const spans = spansFor(start(), failed('a', 1), { v: 1, kind: 'cancel', reason: 'enough' });
    expect(spans.map(({ name }) => name)).toEqual(['step a', 'run w']);
    const out = spansFor(start(), { v: 1, kind: 'cancel', reason: 'enough' });
    expect(out.map(({ name, attributes }) => [name, attributes?.['millrace.outcome']])).toEqual([
      ['step a', 'cancelled'],
      ['run w', 'cancelled'],
    ]);
  });

  it('makes none for a trace that is not sampled', () => {
    expect(spansFor(start('00'), succeeded('a', 1), succeeded('b', 1))).toEqual([]);
  });
});
