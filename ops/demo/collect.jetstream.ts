/** Gathers what the summary says: the runs' logs, their dead letters, the comparison with Prefect, one trace in Jaeger. */
import { DeliverPolicy } from '@nats-io/jetstream';
import { type Comparison, compareAll, createPrefectClient } from '../../src/bridge/index.ts';
import { type NatsDoor, systemClock } from '../../src/drivers/index.ts';
import { openJournal, type StoredEntry } from '../../src/engine/index.ts';
import { STREAMS } from '../../src/kernel/index.ts';
import { openDefinitions } from '../../src/manifests/index.ts';
import { openReader } from '../../src/replay/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import type { FedRun } from './feeder.nats.ts';
import type { Closing, LoggedRun } from './summary.ts';

/** The logs of these runs. */
export async function collectLogs(door: NatsDoor, runs: readonly FedRun[]): Promise<LoggedRun[]> {
  const logs = new Map<string, { workflow: string; runId: string; entries: StoredEntry[] }>();
  for (const { workflow, runId } of runs) logs.set(runId, { workflow, runId, entries: [] });
  const reader = openReader(door.js, door.jsm);
  for (const workflow of new Set(runs.map((run) => run.workflow))) {
    for await (const { run, entry } of reader.entries(workflow)) logs.get(run.runId)?.entries.push(entry);
  }
  return [...logs.values()];
}

/** Subjects of the dead letters of these runs, by run. */
export async function collectDeadLetters(door: NatsDoor, runIds: ReadonlySet<string>): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const consumer = await door.js.consumers.get(STREAMS.dead, {
    filter_subjects: 'dead.run.>',
    deliver_policy: DeliverPolicy.All,
    headers_only: true,
  });
  const { num_pending: pending } = await consumer.info();
  if (pending === 0) return found;
  for await (const message of await consumer.fetch({ max_messages: pending, expires: 5_000 })) {
    const runId = message.headers?.get('Millrace-Run') ?? '';
    if (runIds.has(runId)) found[runId] = message.subject;
  }
  return found;
}

const SHOWN = 5;

/** The real comparison: every Prefect attempt in the logs against Prefect's own answer. */
export async function collectAgreement(
  door: NatsDoor,
  prefectUrl: string,
  workflows: readonly string[],
): Promise<NonNullable<Closing['agreement']>> {
  const journal = openJournal(door);
  const definitions = await openDefinitions(door.nc);
  const prefect = createPrefectClient({ url: prefectUrl, telemetry: noTelemetry });
  const comparison = await settled(() => compareAll(journal, prefect, definitions, workflows));
  const notes = comparison.disagreements.slice(0, SHOWN).map(({ runId, step, attempt, stream, prefect: theirs }) => {
    return `run ${runId}, step ${step}, attempt ${attempt}: streams say ${JSON.stringify(stream)}, Prefect ${theirs}`;
  });
  return { agree: comparison.agree, total: comparison.total, notes };
}

const TRIES = 20;
const AGAIN_MS = 500;

/** Prefect keeps what the host told it a moment ago; a disagreement counts when it lasts. */
async function settled(compare: () => Promise<Comparison>): Promise<Comparison> {
  for (let tries = 1; ; tries++) {
    const comparison = await compare();
    if (comparison.disagreements.length === 0 || tries >= TRIES) return comparison;
    await systemClock.sleep(AGAIN_MS);
  }
}

/** The trace of a run, if Jaeger has it; spans are sent in batches, so it is asked a few times. */
export async function collectTrace(jaegerUrl: string, run: FedRun): Promise<Closing['trace']> {
  const traceId = run.traceparent.split('-')[1] ?? '';
  for (let tries = 1; tries <= TRIES; tries++) {
    const spans = await spansOf(jaegerUrl, traceId);
    if (spans > 0) return { runId: run.runId, traceId, url: await traceUrl(jaegerUrl, traceId), spans };
    await systemClock.sleep(AGAIN_MS);
  }
  return undefined;
}

async function spansOf(jaegerUrl: string, traceId: string): Promise<number> {
  try {
    const response = await fetch(`${jaegerUrl}/api/traces/${traceId}`, { signal: AbortSignal.timeout(5_000) });
    if (!response.ok) return 0;
    const { data } = (await response.json()) as { data?: { spans?: unknown[] }[] };
    return data?.[0]?.spans?.length ?? 0;
  } catch {
    return 0; // it is asked again
  }
}

/** A Jaeger built from source has a placeholder for its UI; then the API's address is of more use. */
async function traceUrl(jaegerUrl: string, traceId: string): Promise<string> {
  try {
    const page = await fetch(`${jaegerUrl}/`, { signal: AbortSignal.timeout(5_000) });
    if (/<script/i.test(await page.text())) return `${jaegerUrl}/trace/${traceId}`;
  } catch {
    // Then the API's address.
  }
  return `${jaegerUrl}/api/traces/${traceId}`;
}
