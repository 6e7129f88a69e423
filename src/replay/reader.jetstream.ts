/**
 * Reads whole workflows from JetStream: one ordered consumer over all logs instead of a request per run.
 *
 * Boundary: reads only; leaves no durable consumer behind. Ordered consumers begin again by themselves after a gap or a
 * server's restart, so each entry is given once and in order.
 */
import { DeliverPolicy, JetStreamApiError, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import type { RunRef, StoredEntry } from '../engine/index.ts';
import { storedEntry } from '../engine/index.ts';
import {
  allLogs,
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

  async #runsOf(workflow: string): Promise<readonly RunRef[]> {
    if (!isToken(workflow)) return [];
    try {
      const info = await this.#jsm.streams.info(workflowStream(workflow), { subjects_filter: allLogs(workflow) });
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
