/**
 * Appending to journals under the fence, beside the client library's plain publish of the same bytes to a stream of the
 * same settings: what the expected sequence costs, and what the own publish path (ADR 0010) gives.
 */
import type { NatsDoor } from '../src/drivers/index.ts';
import { type Journal, type LogEntry, openJournal, type RunRef, workflowAssets } from '../src/engine/index.ts';
import { workflowStream } from '../src/kernel/index.ts';
import { ensureAssets } from '../src/manifests/index.ts';
import { amount, inTurn, PARTS, type ServerBenchmark, timed } from './benchmark.ts';
import { definition } from './engine.ts';
import type { Figures } from './summary.ts';

const IN_FLIGHT = [1, 64, 512] as const;
const FULL = { 1: 500, 64: 4_000, 512: 8_000 } as const;
const WORKFLOW = 'bench-append';
const PLAIN = 'BENCH_PLAIN';

const ENTRY: LogEntry = {
  v: 1,
  cause: 1,
  at: 1_700_000_000_000,
  transitions: [
    { type: 'StepCompleted', step: 's1', attempt: 1, output: { rows: 221 } },
    { type: 'StepScheduled', step: 's2', attempt: 1, input: { rows: 221, text: 'x'.repeat(100) } },
  ],
};
const BYTES = new TextEncoder().encode(JSON.stringify(ENTRY));

/** A lane is a run: its appends follow one another, each expecting the one before. */
async function appends(journal: Journal, count: number, atOnce: number, label: string): Promise<number> {
  const lanes = Array.from({ length: atOnce }, (_, i) => ({
    run: { workflow: WORKFLOW, runId: `${label}-${i}` } satisfies RunRef,
    last: 0,
  }));
  return timed(count, atOnce, async () => {
    const lane = lanes.pop();
    if (lane === undefined) throw new Error('more appends under way than lanes');
    const stored = await journal.append(lane.run, ENTRY, lane.last);
    if (!stored.ok) throw new Error('a conflict, with nobody else appending');
    lane.last = stored.value;
    lanes.push(lane);
  });
}

async function round(door: NatsDoor, scale: number): Promise<Figures> {
  await ensureAssets(door.nc, workflowAssets(definition(WORKFLOW)));
  const { config } = await door.jsm.streams.info(workflowStream(WORKFLOW));
  await door.jsm.streams.add({ ...config, name: PLAIN, subjects: ['bench.plain.*'] });
  const journal = openJournal(door);
  const plain = (count: number, atOnce: number): Promise<number> =>
    timed(count, atOnce, (i) => door.js.publish(`bench.plain.${i % atOnce}`, BYTES));
  try {
    await appends(journal, 200, 16, 'warm');
    await plain(200, 16);
    const figures: Record<string, number> = {};
    for (const atOnce of IN_FLIGHT) {
      const count = Math.max(atOnce, amount(FULL[atOnce], scale));
      const [bare, fenced] = await inTurn(
        () => plain(count, atOnce),
        (turn) => appends(journal, count, atOnce, `n${atOnce}-${turn}`),
      );
      figures[`plain${atOnce}`] = (count * PARTS) / bare;
      figures[`append${atOnce}`] = (count * PARTS) / fenced;
      figures[`ratio${atOnce}`] = bare / fenced;
    }
    return figures;
  } finally {
    journal.close();
  }
}

export const appendBenchmark: ServerBenchmark = {
  name: 'append',
  what: 'journal appends with expected sequence, beside plain js.publish',
  kind: 'server',
  rows: IN_FLIGHT.flatMap((n) => [
    { key: `plain${n}`, label: `js.publish/s, ${n} in flight`, digits: 0 },
    { key: `append${n}`, label: `journal.append/s, ${n} in flight`, digits: 0 },
    { key: `ratio${n}`, label: `ratio append / publish, ${n} in flight`, digits: 2 },
  ]),
  round,
};
