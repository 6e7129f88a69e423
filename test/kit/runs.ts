/** Reads whole workflows' logs, for tests that check every run. */
import type { ConsumerMessages } from '@nats-io/jetstream';
import type { NatsDoor } from '../../src/drivers/index.ts';
import { type StoredEntry, upcastEntry } from '../../src/engine/index.ts';
import { allLogs, parseRunSubject, workflowStream } from '../../src/kernel/index.ts';

export interface RunLog {
  readonly runId: string;
  readonly entries: readonly StoredEntry[];
}

/** All runs of a workflow with their log entries, as stored now; tried again while the server is away. */
async function read(door: NatsDoor, workflow: string): Promise<RunLog[]> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      return await readOnce(door, workflow);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await pause(250);
    }
  }
}

async function readOnce(door: NatsDoor, workflow: string): Promise<RunLog[]> {
  const consumer = await door.js.consumers.get(workflowStream(workflow), { filter_subjects: allLogs(workflow) });
  const { num_pending: pending } = await consumer.info();
  if (pending === 0) return [];
  try {
    return await collect(await consumer.fetch({ max_messages: pending, expires: 10_000 }));
  } finally {
    await consumer.delete();
  }
}

async function collect(messages: ConsumerMessages): Promise<RunLog[]> {
  const runs = new Map<string, StoredEntry[]>();
  for await (const message of messages) {
    const runId = parseRunSubject(message.subject)?.runId;
    if (runId === undefined) continue;
    const entries = runs.get(runId) ?? [];
    entries.push({ ...upcastEntry(message.json()), seq: message.seq });
    runs.set(runId, entries);
  }
  return [...runs].map(([runId, entries]) => ({ runId, entries }));
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves at the next log entry of the workflow, or after a moment: a killed server sends no event. */
async function changed(door: NatsDoor, workflow: string): Promise<void> {
  const subscription = door.nc.subscribe(allLogs(workflow), { max: 1 });
  const next = (async () => {
    for await (const _ of subscription) return;
  })();
  await Promise.race([next, pause(1_000)]);
  subscription.unsubscribe();
}

export const readRuns = Object.assign(read, { changed });
