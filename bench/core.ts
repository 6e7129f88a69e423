/**
 * The pure core beside the JSON that cannot be done without: a controller that decided nothing would still parse each
 * input and print each entry.
 */
import {
  type Definition,
  decision,
  type InputBody,
  type LogEntry,
  newRun,
  parseInput,
  type RunState,
  react,
} from '../src/engine/index.ts';
import { amount, inTurn, PARTS, type PureBenchmark, secondsOf } from './benchmark.ts';
import { definition, STEPS } from './engine.ts';
import type { Figures } from './summary.ts';

const RUNS = 20_000;
const AT = 1_700_000_000_000;
const PAYLOAD = { day: '2001-01-01', airports: ['ABQ', 'ATL', 'BWI'], flights: 221, text: 'x'.repeat(100) };

/** The inputs of one run from its start to its end. */
function inputsOf(wanted: Definition): readonly InputBody[] {
  const steps = Array.from({ length: STEPS }, (_, i): readonly InputBody[] => {
    const attempt = { v: 1, step: `s${i + 1}`, attempt: 1 } as const;
    return [{ ...attempt, kind: 'task.succeeded', worker: 'host-1234', startedAt: AT, output: PAYLOAD }];
  });
  return [{ v: 1, kind: 'start', digest: wanted.digest, payload: PAYLOAD }, ...steps.flat()];
}

/** One run through the core, as the controller takes it; every entry is handed to `keep`. */
function oneRun(wanted: Definition, inputs: readonly InputBody[], keep?: (entry: LogEntry) => void): RunState {
  let state = newRun(wanted.name, 'r1');
  let commands = 0;
  inputs.forEach((body, i) => {
    const seq = 2 * i + 1;
    const { transitions, after } = decision(wanted, state, { seq, at: AT + i, body });
    const entry: LogEntry = { v: 1, cause: seq, at: AT + i, transitions };
    commands += react(wanted, state, entry).length;
    state = { ...after, lastInput: seq, lastEntry: seq + 1 };
    keep?.(entry);
  });
  if (state.status !== 'completed' || commands === 0) throw new Error(`the run ended ${state.status}`);
  return state;
}

async function round(scale: number): Promise<Figures> {
  const wanted = definition('bench');
  const inputs = inputsOf(wanted);
  const entries: LogEntry[] = [];
  oneRun(wanted, inputs, (entry) => entries.push(entry));
  const texts = inputs.map((body) => JSON.stringify(body));
  const bytes = texts.map((text) => new TextEncoder().encode(text));
  let kept = 0; // so that nothing is optimised away
  const json = (): void => {
    for (const text of texts) kept += Object.keys(JSON.parse(text)).length;
    for (const entry of entries) kept += JSON.stringify(entry).length;
  };
  const core = (): void => {
    kept += oneRun(wanted, inputs).lastEntry;
  };
  const check = (): void => {
    for (const one of bytes) kept += parseInput(one).ok ? 1 : 0;
  };
  const runs = amount(RUNS, scale);
  for (const warm of [json, core, check]) await secondsOf(Math.min(runs, 2_000), warm);
  const [plain, decided] = await inTurn(
    () => secondsOf(runs, json),
    () => secondsOf(runs, core),
  );
  const [plainAgain, checked] = await inTurn(
    () => secondsOf(runs, json),
    () => secondsOf(runs, check),
  );
  if (!(kept > 0)) throw new Error('nothing was done');
  const all = runs * PARTS;
  return {
    json: all / plain,
    core: all / decided,
    coreRatio: decided / plain,
    perInputUs: (decided / (all * inputs.length)) * 1e6,
    checked: all / checked,
    checkedRatio: checked / plainAgain,
  };
}

export const coreBenchmark: PureBenchmark = {
  name: 'core',
  what: 'decide, evolve and react, beside JSON.parse of the inputs and JSON.stringify of the entries',
  kind: 'pure',
  rows: [
    { key: 'json', label: 'JSON of a run of three steps, runs/s', digits: 0 },
    { key: 'core', label: 'decide + evolve + react, runs/s', digits: 0 },
    { key: 'coreRatio', label: 'ratio of times: core / JSON', digits: 2 },
    { key: 'perInputUs', label: 'core per input, µs', digits: 1 },
    { key: 'checked', label: 'parseInput (bytes, JSON, zod), runs/s', digits: 0 },
    { key: 'checkedRatio', label: 'ratio of times: parseInput / JSON', digits: 2 },
  ],
  round,
};
