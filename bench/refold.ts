/**
 * Refolding: the state of runs from their logs, as after a restart and in replay. From the bytes that the stream stores, by
 * what the journal calls to read them, so decoding and JSON.parse are in it, and beside JSON.parse alone.
 */
import {
  type Definition,
  decision,
  entryOf,
  fold,
  type InputBody,
  newRun,
  type StoredEntry,
} from '../src/engine/index.ts';
import { amount, figureOf, figuresOf, inTurn, PARTS, type PureBenchmark, secondsOf } from './benchmark.ts';
import { chain } from './load.ts';
import type { Figures } from './summary.ts';

const RUNS = 20_000;
const STEPS = 9;
const AT = 1_700_000_000_000;
const PAYLOAD = { day: '2001-01-01', airports: ['ABQ', 'ATL', 'BWI'], flights: 221, text: 'x'.repeat(100) };

interface Stored {
  readonly seq: number;
  readonly data: Uint8Array;
}

/** The log of a run from its start to its end. */
function logOf(definition: Definition): readonly StoredEntry[] {
  const results = definition.steps.map(
    ({ name }): InputBody => ({
      ...{ v: 1, kind: 'task.succeeded', step: name, attempt: 1 },
      ...{ worker: 'host-1234', startedAt: AT, output: PAYLOAD },
    }),
  );
  const start: InputBody = { v: 1, kind: 'start', digest: definition.digest, payload: PAYLOAD };
  const entries: StoredEntry[] = [];
  let state = newRun(definition.name, 'r1');
  for (const [i, body] of [start, ...results].entries()) {
    const [cause, seq] = [2 * i + 1, 2 * i + 2];
    const { transitions, after } = decision(definition, state, { seq: cause, at: AT + i, body });
    entries.push({ v: 1, cause, at: AT + i, transitions, seq });
    state = { ...after, lastInput: cause, lastEntry: seq };
  }
  if (state.status !== 'completed') throw new Error(`the run ended ${state.status}`);
  return entries;
}

async function round(scale: number): Promise<Figures> {
  const definition = chain('bench', STEPS);
  const entries = logOf(definition);
  const transitions = entries.reduce((sum, entry) => sum + entry.transitions.length, 0);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const stored: readonly Stored[] = entries.map(({ seq, ...entry }) => ({
    seq,
    data: encoder.encode(JSON.stringify(entry)),
  }));
  let kept = 0; // so that nothing is optimised away
  const refold = (): void => {
    const read = stored.map((message) => entryOf(message, 'wf.bench.log.r1'));
    kept += fold(definition.name, 'r1', read).lastEntry;
  };
  const parse = (): void => {
    for (const { data } of stored) kept += Object.keys(JSON.parse(decoder.decode(data))).length;
  };
  const inMemory = (): void => {
    kept += fold(definition.name, 'r1', entries).lastEntry;
  };
  const runs = amount(RUNS, scale);
  for (const warm of [parse, refold, inMemory]) await secondsOf(2_000, warm);
  const [parsed, refolded] = await inTurn(
    () => secondsOf(runs, parse),
    () => secondsOf(runs, refold),
  );
  const folded = await secondsOf(runs, inMemory);
  if (!(kept > 0)) throw new Error('nothing was done');
  const all = runs * transitions;
  return {
    refold: (all * PARTS) / refolded,
    parse: (all * PARTS) / parsed,
    ratio: parsed / refolded,
    fold: all / folded,
  };
}

export const refoldBenchmark: PureBenchmark = {
  name: 'refold',
  what: `the state of a run of ${STEPS} steps from its log, beside JSON.parse of the log`,
  kind: 'pure',
  rows: [
    { key: 'refold', label: 'transitions/s, from stored bytes', digits: 0 },
    { key: 'parse', label: 'transitions/s, JSON.parse alone', digits: 0 },
    { key: 'ratio', label: 'ratio of rates: refold / JSON.parse', digits: 2 },
    { key: 'fold', label: 'transitions/s, from entries in memory', digits: 0 },
  ],
  figures: (rounds) =>
    figuresOf(
      figureOf(
        rounds,
        { value: 'refold', ratio: 'ratio' },
        {
          ...{ figure: 'refold.rate', unit: 'transitions/s', against: 'JSON.parse of the same log' },
          note: 'from stored bytes: decoding, JSON.parse and the fold',
        },
      ),
    ),
  round,
};
