/**
 * Reads whole workflows from JetStream: one ordered consumer over all logs instead of a request per run.
 *
 * Boundary: reads only; leaves no durable consumer behind. Ordered consumers begin again by themselves after a gap or a
 * server's restart, so each entry is given once and in order.
 */
import {
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type StoredMsg,
} from '@nats-io/jetstream';
import type { RunRef, StoredEntry } from '../engine/index.ts';
import { parseInput, storedEntry } from '../engine/index.ts';
import {
  allInputs,
  allLogs,
  inputSubject,
  isToken,
  logSubject,
  MillraceError,
  messageOf,
  parseRunSubject,
  workflowStream,
} from '../kernel/index.ts';
import type { RunReader } from './reader.ts';

const STREAM_PREFIX = 'WF_';
const STREAM_NOT_FOUND = 10059;
const NO_MESSAGE = 10037;
const AT_ONCE = 2_000;

function isApi(error: unknown, ...codes: readonly number[]): boolean {
  return error instanceof JetStreamApiError && codes.includes(error.code);
}

function readFailure(what: string, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error;
  return new MillraceError('MR_NATS', `reading ${what}: ${messageOf(error)}`, {
    hint: 'check the server with `millrace doctor`',
    cause: error,
  });
}

function entryOf(subject: string, seq: number, json: () => unknown): StoredEntry {
  try {
    return storedEntry(json(), seq);
  } catch (error) {
    const hint = error instanceof MillraceError ? error.hint : undefined;
    throw new MillraceError('MR_JOURNAL_CORRUPT', `message ${seq} on ${subject} is no log entry: ${messageOf(error)}`, {
      hint: hint ?? 'somebody else wrote to the log; look at it with `nats stream get` and purge the run’s subject',
      cause: error,
    });
  }
}

class JetStreamReader implements RunReader {
  readonly #js: JetStreamClient;
  readonly #jsm: JetStreamManager;

  constructor(js: JetStreamClient, jsm: JetStreamManager) {
    this.#js = js;
    this.#jsm = jsm;
  }

  async workflows(): Promise<readonly string[]> {
    const names: string[] = [];
    try {
      for await (const name of this.#jsm.streams.names('wf.>')) {
        if (name.startsWith(STREAM_PREFIX)) names.push(name.slice(STREAM_PREFIX.length));
      }
    } catch (error) {
      throw readFailure('the list of streams', error);
    }
    return names.sort();
  }

  #runsOf(workflow: string): Promise<readonly RunRef[]> {
    return isToken(workflow) ? this.#runsWith(workflow, allLogs(workflow)) : Promise.resolve([]);
  }

  async digestsOfWaiting(workflow: string): Promise<readonly string[]> {
    if (!isToken(workflow)) return [];
    const begun = new Set((await this.#runsOf(workflow)).map(({ runId }) => runId));
    const heardOf = await this.#runsWith(workflow, allInputs(workflow));
    const digests = new Set<string>();
    for (const { runId } of heardOf.filter((run) => !begun.has(run.runId))) {
      let seq = 1;
      for (;;) {
        const message = await this.#inputFrom(workflow, runId, seq);
        if (message === null) break;
        const parsed = parseInput(message.data);
        if (parsed.ok && parsed.value.kind === 'start') digests.add(parsed.value.digest);
        seq = message.seq + 1;
      }
    }
    return [...digests];
  }

  async #inputFrom(workflow: string, runId: string, seq: number): Promise<StoredMsg | null> {
    try {
      // The library's type of this request leaves out `next_by_subj`, which the server takes together with `seq`.
      const query: { next_by_subj: string; seq: number } = { next_by_subj: inputSubject(workflow, runId), seq };
      return await this.#jsm.streams.getMessage(workflowStream(workflow), query);
    } catch (error) {
      if (isApi(error, STREAM_NOT_FOUND, NO_MESSAGE)) return null;
      throw readFailure(`inputs of run ${runId}`, error);
    }
  }

  async #runsWith(workflow: string, subjects: string): Promise<readonly RunRef[]> {
    try {
      const info = await this.#jsm.streams.info(workflowStream(workflow), { subjects_filter: subjects });
      return Object.keys(info.state.subjects ?? {}).flatMap((subject) => {
        const run = parseRunSubject(subject);
        return run === undefined ? [] : [{ workflow: run.workflow, runId: run.runId }];
      });
    } catch (error) {
      if (isApi(error, STREAM_NOT_FOUND)) return [];
      throw readFailure(`stream ${workflowStream(workflow)}`, error);
    }
  }

  async runs(workflow?: string): Promise<readonly RunRef[]> {
    const workflows = workflow === undefined ? await this.workflows() : [workflow];
    return (await Promise.all(workflows.map((name) => this.#runsOf(name)))).flat();
  }

  async has({ workflow, runId }: RunRef): Promise<boolean> {
    try {
      const query = { last_by_subj: logSubject(workflow, runId) };
      return (await this.#jsm.streams.getMessage(workflowStream(workflow), query)) !== null;
    } catch (error) {
      if (isApi(error, STREAM_NOT_FOUND, NO_MESSAGE)) return false;
      throw readFailure(`run ${runId}`, error);
    }
  }

  async *entries(workflow: string, signal?: AbortSignal): AsyncIterable<{ run: RunRef; entry: StoredEntry }> {
    const stream = workflowStream(workflow);
    const filter = { filter_subjects: [allLogs(workflow)], deliver_policy: DeliverPolicy.All };
    try {
      const consumer = await this.#js.consumers.get(stream, filter);
      const { num_pending: pending } = await consumer.info(true);
      if (pending === 0) return;
      const messages = await consumer.consume({ max_messages: AT_ONCE });
      const stop = (): void => messages.stop();
      signal?.addEventListener('abort', stop, { once: true });
      let left = pending;
      try {
        for await (const message of messages) {
          const run = parseRunSubject(message.subject);
          if (run !== undefined) {
            const entry = entryOf(message.subject, message.seq, () => message.json());
            yield { run: { workflow: run.workflow, runId: run.runId }, entry };
          }
          // What was appended since is a later reader's: a busy workflow would never end.
          if (--left <= 0 || message.info.pending === 0) break;
        }
      } finally {
        signal?.removeEventListener('abort', stop);
        messages.stop();
        await consumer.delete().catch(() => undefined);
      }
    } catch (error) {
      if (isApi(error, STREAM_NOT_FOUND)) return;
      throw readFailure(`the logs of ${workflow}`, error);
    }
  }
}

/** A reader over an open connection. */
export function openReader(js: JetStreamClient, jsm: JetStreamManager): RunReader {
  return new JetStreamReader(js, jsm);
}
