/**
 * Starts runs of durable functions, waits for their ends, talks to them.
 *
 * Boundary: writes inputs, reads journals. A run's end comes as a message to this client's inbox; that is a hint, so
 * whoever waits looks into the journal too, now and then.
 */
import { randomUUID } from 'node:crypto';
import { createInbox, type Msg, type Subscription } from 'nats';
import { connectNats, type NatsDoor } from '../drivers/index.ts';
import { fold, type InputBody, openJournal, type RunRef } from '../engine/index.ts';
import { isObject, isToken, type Json, MillraceError } from '../kernel/index.ts';
import { sealDefinition } from '../manifests/index.ts';
import type { TraceHeaders } from '../telemetry/index.ts';
import { definitionOf } from './assets.ts';
import { endingOfState } from './ending.ts';
import type { Ending, SignalSchemas, WorkflowFunction } from './types.ts';

/** How a run of a durable function is started. */
export interface StartOptions {
  /** Names the run: starting it twice under one id starts it once. A random one by default. */
  readonly runId?: string;
  /** The trace that the run belongs to. */
  readonly trace?: TraceHeaders;
  /** Who starts it, for the history. */
  readonly by?: string;
}

/** A run of a durable function, to wait for. */
export interface RunHandle<O> {
  readonly runId: string;
  /**
   * What the function returned, once it has.
   * @throws RunError when it failed or was cancelled
   */
  result(): Promise<O>;
}

/** A run that did not complete. */
export class RunError extends MillraceError {
  readonly runId: string;
  readonly ending: Ending;

  constructor(runId: string, ending: Exclude<Ending, { status: 'completed' }>) {
    const text = ending.status === 'failed' ? `${ending.error.message} (${ending.error.code})` : ending.reason;
    const code = ending.status === 'failed' ? 'MR_STEP_FAILED' : 'MR_CANCELLED';
    super(code, `run ${runId} ${ending.status}: ${text}`, { next: 'terminal' });
    this.runId = runId;
    this.ending = ending;
  }
}

/** Starts runs of durable functions and talks to them: see {@link createClient}. */
export interface Client {
  /**
   * Starts a run; resolves when its start is stored.
   * @throws MillraceError MR_NATS, MR_PAYLOAD_TOO_LARGE, MR_INPUT_INVALID for a run id that cannot be one
   */
  start<I, O, S extends SignalSchemas, A>(
    fn: WorkflowFunction<I, O, S, A>,
    input: A,
    options?: StartOptions,
  ): Promise<RunHandle<O>>;
  /** A handle of a run that was started before, here or elsewhere. */
  handle<I, O, S extends SignalSchemas, A>(fn: WorkflowFunction<I, O, S, A>, runId: string): RunHandle<O>;
  /** Sends a signal; one that comes before its wait is kept. `id` makes sending it twice harmless for two minutes. */
  signal(fn: Pick<WorkflowFunction, 'name'>, runId: string, name: string, payload: Json, id?: string): Promise<void>;
  /**
   * Paused steps go on, with new attempts: the one named, else all of them. Means nothing to a step that is not paused.
   * @throws MillraceError MR_NATS
   */
  resume(
    fn: Pick<WorkflowFunction, 'name'>,
    runId: string,
    step?: string,
    options?: { readonly by?: string },
  ): Promise<void>;
  /** Ends the run: what it executes is told to stop, what it waits for is called off. */
  cancel(fn: Pick<WorkflowFunction, 'name'>, runId: string, reason: string): Promise<void>;
  /** Closes what it opened itself. */
  close(): Promise<void>;
}

/** How long to wait before looking into the journal, in ms; twice as long each time, up to the last. */
const LOOK_FIRST_MS = 2_000;
const LOOK_MAX_MS = 30_000;

/** @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS_TOO_OLD, MR_NATS */
export async function createClient(options: {
  readonly nats: string | NatsDoor;
  readonly token?: string | undefined;
  readonly credsFile?: string | undefined;
}): Promise<Client> {
  const { nats, token, credsFile } = options;
  if (typeof nats !== 'string') return new NatsClient(nats, false);
  return new NatsClient(await connectNats({ url: nats, name: 'client', token, credsFile }), true);
}

class NatsClient implements Client {
  readonly #door: NatsDoor;
  readonly #own: boolean;
  readonly #journal: ReturnType<typeof openJournal>;
  readonly #inbox = createInbox();
  readonly #ends: Subscription;
  readonly #waiting = new Map<string, { readonly runId: string; readonly resolve: (ending: Ending) => void }>();
  /** Tokens to use again: the server finds where a message goes faster where it has seen the subject lately. */
  readonly #free: string[] = [];
  readonly #digests = new Map<string, string>();
  #next = 0;

  constructor(door: NatsDoor, own: boolean) {
    this.#door = door;
    this.#own = own;
    this.#journal = openJournal(door);
    this.#ends = door.nc.subscribe(`${this.#inbox}.*`, { callback: (error, msg) => this.#ended(error, msg) });
  }

  async start<I, O, S extends SignalSchemas, A>(
    fn: WorkflowFunction<I, O, S, A>,
    input: A,
    options: StartOptions = {},
  ): Promise<RunHandle<O>> {
    const { runId = randomUUID(), trace, by } = options;
    const isOwn = options.runId === undefined;
    if (!isToken(runId)) {
      throw new MillraceError('MR_INPUT_INVALID', `"${runId}" cannot be a run id`, {
        hint: 'use letters, digits, "-" and "_", at most 64 characters',
      });
    }
    const run = { workflow: fn.name, runId };
    const { token, ending } = this.#await(runId);
    const context =
      trace === undefined
        ? {}
        : {
            trace: {
              traceparent: trace.traceparent,
              ...(trace.tracestate === undefined ? {} : { tracestate: trace.tracestate }),
            },
          };
    try {
      const { duplicate } = await this.#journal.send(
        run,
        {
          v: 1,
          kind: 'start',
          digest: this.#digestOf(fn.name),
          payload: input as Json, // checked by the function's schema where it executes
          notify: `${this.#inbox}.${token}`,
          ...(isOwn ? { fresh: true } : {}),
          ...context,
          ...(by === undefined ? {} : { by }),
        },
        { msgId: `start:${runId}`, ...(isOwn ? { first: true } : {}) },
      );
      return this.#handle(run, token, ending, duplicate);
    } catch (error) {
      this.#forget(token);
      throw error;
    }
  }

  handle<I, O, S extends SignalSchemas, A>(fn: WorkflowFunction<I, O, S, A>, runId: string): RunHandle<O> {
    const { token, ending } = this.#await(runId);
    return this.#handle({ workflow: fn.name, runId }, token, ending, true);
  }

  #handle<O>(run: RunRef, token: string, ending: Promise<Ending>, look: boolean): RunHandle<O> {
    let result: Promise<O> | undefined;
    return {
      runId: run.runId,
      result: () => {
        result ??= this.#result(run, token, ending, look);
        return result;
      },
    };
  }

  /** @param look nobody may tell us: the run may have another's inbox, or have ended long ago */
  async #result<O>(run: RunRef, token: string, ending: Promise<Ending>, look: boolean): Promise<O> {
    const stop = this.#lookNowAndThen(run, token, look);
    const how = await ending;
    stop();
    if (how.status === 'completed') return how.output as O; // what the function returned, as JSON
    throw new RunError(run.runId, how);
  }

  #lookNowAndThen(run: RunRef, token: string, soon: boolean): () => void {
    let timer: NodeJS.Timeout;
    let wait = soon ? 20 : LOOK_FIRST_MS;
    const look = async (): Promise<void> => {
      try {
        const ending = endingOfState(fold(run.workflow, run.runId, await this.#journal.entries(run)));
        if (ending !== undefined) return this.#settle(token, run.runId, ending);
      } catch {
        // The next look may find what this could not.
      }
      wait = Math.min(LOOK_MAX_MS, wait * 2);
      if (this.#waiting.get(token)?.runId === run.runId) timer = setTimeout(() => void look(), wait);
    };
    timer = setTimeout(() => void look(), wait);
    return () => clearTimeout(timer);
  }

  #ended(error: Error | null, msg: Msg): void {
    if (error !== null) return;
    const value: unknown = msg.json();
    const token = msg.subject.slice(this.#inbox.length + 1);
    // Only workers know the inbox, and they write what they have just written to the journal.
    if (!isObject(value) || typeof value['status'] !== 'string') return;
    this.#settle(token, String(value['runId']), value as unknown as Ending);
  }

  #await(runId: string): { readonly token: string; readonly ending: Promise<Ending> } {
    const token = this.#free.pop() ?? (this.#next++).toString(36);
    const ending = new Promise<Ending>((resolve) => this.#waiting.set(token, { runId, resolve }));
    return { token, ending };
  }

  #forget(token: string): void {
    if (this.#waiting.delete(token)) this.#free.push(token);
  }

  /** A word that comes twice, or late, is about another run than the one that has the token now. */
  #settle(token: string, runId: string, ending: Ending): void {
    const waiting = this.#waiting.get(token);
    if (waiting?.runId !== runId) return;
    this.#forget(token);
    waiting.resolve(ending);
  }

  #digestOf(name: string): string {
    let digest = this.#digests.get(name);
    if (digest === undefined) {
      digest = sealDefinition(definitionOf(name)).digest;
      this.#digests.set(name, digest);
    }
    return digest;
  }

  async signal(
    fn: Pick<WorkflowFunction, 'name'>,
    runId: string,
    name: string,
    payload: Json,
    id: string = randomUUID(),
  ): Promise<void> {
    const body = { v: 1, kind: 'signal', name, payload } as const;
    await this.#journal.send({ workflow: fn.name, runId }, body, { msgId: `signal:${runId}:${id}` });
  }

  async resume(
    fn: Pick<WorkflowFunction, 'name'>,
    runId: string,
    step?: string,
    { by }: { readonly by?: string } = {},
  ): Promise<void> {
    const body: InputBody = {
      v: 1,
      kind: 'resume',
      ...(step === undefined ? {} : { step }),
      ...(by === undefined ? {} : { by }),
    };
    await this.#journal.send({ workflow: fn.name, runId }, body, {
      msgId: `resume:${runId}:${randomUUID()}`,
    });
  }

  async cancel(fn: Pick<WorkflowFunction, 'name'>, runId: string, reason: string): Promise<void> {
    await this.#journal.send(
      { workflow: fn.name, runId },
      { v: 1, kind: 'cancel', reason },
      { msgId: `cancel:${runId}:${randomUUID()}` },
    );
  }

  async close(): Promise<void> {
    this.#ends.unsubscribe();
    this.#journal.close();
    if (this.#own) await this.#door.close();
  }
}
