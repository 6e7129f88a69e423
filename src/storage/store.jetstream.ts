/**
 * What retention reads and removes, on JetStream.
 *
 * Reading goes by batched direct gets from a sequence on: no consumer is left behind, and a replica that lags only ends a batch early.
 * Purging below a sequence drops whole files of the stream and costs the same for a thousand runs as for one; purging by subject costs
 * a call per run (docs/adr/0027).
 */
import { JetStreamError, type StoredMsg } from '@nats-io/jetstream';
import type { NatsDoor } from '../drivers/index.ts';
import { type RunRef, storedEntry } from '../engine/index.ts';
import {
  allLogs,
  CONTROLLER_CONSUMER,
  isObject,
  logSubject,
  parseRunSubject,
  runSubjects,
  workflowStream,
} from '../kernel/index.ts';
import { asked, askedUnless, CONSUMER_NOT_FOUND, NO_MESSAGE, STREAM_NOT_FOUND } from './failure.nats.ts';
import { markOf, type RunMark, type SeenMessage } from './ledger.ts';
import type { RetentionStore } from './sweep.ts';

const BATCH = 2_000;
const NOTHING_THERE = 404;
/** Messages purged in one call: the stream takes no writes meanwhile (155,000 took 46 ms). */
const SLICE = 50_000;
/** Only entries with one of these can say anything of a run's life. */
const OF_RUN = Buffer.from('"type":"Run');

function markIn(data: Uint8Array, seq: number): RunMark {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (!bytes.includes(OF_RUN)) return { started: false };
  try {
    return markOf(storedEntry(JSON.parse(bytes.toString()), seq).transitions);
  } catch {
    return { started: true }; // nobody can read it, so nobody can say that its run has ended: it stays
  }
}

function seen(message: StoredMsg): SeenMessage | undefined {
  const run = parseRunSubject(message.subject);
  if (run === undefined) return undefined;
  const { seq, data, time, subject } = message;
  return {
    ...{ seq, at: time.getTime(), runId: run.runId, bytes: data.length + subject.length },
    ...(run.side === 'log' ? { log: markIn(data, seq) } : {}),
  };
}

/** Removes all messages of one run, of both sides, up to a sequence if one is given. Gives their number. */
async function purgeRun({ jsm }: NatsDoor, workflow: string, runId: string, upTo?: number): Promise<number> {
  const filter = runSubjects(workflow, runId); // one call instead of two
  const what = upTo === undefined ? { filter } : { filter, seq: upTo + 1 };
  const answer = await asked(`purge run ${runId}`, () => jsm.streams.purge(workflowStream(workflow), what));
  return answer.purged;
}

/**
 * Removes an ended run whose last log entry is the given one.
 * @returns false when it is another by now: it was retried, or is gone
 */
export async function purgeEnded(door: NatsDoor, { workflow, runId }: RunRef, lastEntry: number): Promise<boolean> {
  if ((await openRetentionStore(door).last(workflow, runId, 'log')) !== lastEntry) return false;
  return (await purgeRun(door, workflow, runId)) > 0;
}

/** Removes everything of a run, whatever its state: for what an import left half done. */
export async function purgeWhole(door: NatsDoor, { workflow, runId }: RunRef): Promise<void> {
  await purgeRun(door, workflow, runId);
}

/** The next messages of the stream; none at its end. */
function batchFrom({ jsm }: NatsDoor, stream: string, seq: number): Promise<readonly StoredMsg[]> {
  return asked(`read ${stream}`, async () => {
    const found: StoredMsg[] = [];
    try {
      for await (const message of await jsm.direct.getBatch(stream, { seq, batch: BATCH })) found.push(message);
    } catch (error) {
      // So it says that there is nothing at or behind the sequence.
      const nothing = error instanceof JetStreamError && 'code' in error && error.code === NOTHING_THERE;
      if (!nothing) throw error;
    }
    return found;
  });
}

export function openRetentionStore(door: NatsDoor): RetentionStore {
  const { jsm } = door;
  const firstOf = async (stream: string): Promise<number> =>
    (await asked(`look at ${stream}`, () => jsm.streams.info(stream))).state.first_seq;
  return {
    async *read(workflow, after, until) {
      const stream = workflowStream(workflow);
      for (let from = after + 1; ; ) {
        const batch = await batchFrom(door, stream, from);
        for (const message of batch) {
          if (message.time.getTime() > until) return;
          from = message.seq + 1;
          const one = seen(message);
          if (one !== undefined) yield one;
        }
        if (batch.length === 0) return;
      }
    },
    async last(workflow, runId, of) {
      const subject = of === 'log' ? logSubject(workflow, runId) : runSubjects(workflow, runId);
      const message = await askedUnless(`look at run ${runId}`, [NO_MESSAGE], () =>
        jsm.streams.getMessage(workflowStream(workflow), { last_by_subj: subject }),
      );
      return message?.seq ?? 0;
    },
    async ackFloor(workflow) {
      const stream = workflowStream(workflow);
      const info = await askedUnless(`look at the consumer of ${stream}`, [CONSUMER_NOT_FOUND, STREAM_NOT_FOUND], () =>
        jsm.consumers.info(stream, CONTROLLER_CONSUMER),
      );
      return info?.ack_floor.stream_seq ?? 0;
    },
    async countRuns(workflow, enough) {
      const stream = workflowStream(workflow);
      const { state } = await asked(`look at ${stream}`, () => jsm.streams.info(stream));
      // A run has two subjects, a leftover one. Where that is enough nobody need list them.
      if ((state.num_subjects ?? 0) / 2 > enough * 2 + 1_000) return Number.POSITIVE_INFINITY;
      const { state: listed } = await asked(`list the runs of ${workflow}`, () =>
        jsm.streams.info(stream, { subjects_filter: allLogs(workflow) }),
      );
      return isObject(listed.subjects) ? Object.keys(listed.subjects).length : 0;
    },
    async purgeBelow(workflow, seq, signal) {
      const stream = workflowStream(workflow);
      for (let at = await firstOf(stream); at < seq; ) {
        signal?.throwIfAborted();
        at = Math.min(seq, at + SLICE);
        const to = at;
        await asked(`purge ${stream} below ${to}`, () => jsm.streams.purge(stream, { seq: to }));
      }
    },
    async purgeRun(workflow, runId, upTo) {
      await purgeRun(door, workflow, runId, upTo);
    },
    async removeObjects() {},
  };
}
