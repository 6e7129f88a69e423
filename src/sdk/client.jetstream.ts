/**
 * Starts runs of both kinds, waits for their ends, talks to them.
 *
 * ```ts
 * const millrace = await client({ url });
 * const run = await millrace.start(order, { id: 'o-1' }, { key: 'o-1' });
 * await run.signal('approved', true);
 * const receipt = await run.result();
 * ```
 * Boundary: writes inputs, reads journals. That a declared run ended comes as an event, which is a hint: the journal is looked
 * at then, and now and then.
 */
import { randomUUID } from 'node:crypto';
import type { Subscription } from 'nats';
import { connectNats, type NatsDoor } from '../drivers/index.ts';
import {
  endingOfRun,
  fold,
  type InputBody,
  isEnded,
  openJournal,
  type RunRef,
  type RunState,
} from '../engine/index.ts';
import {
  type Client,
  createClient,
  type Ending,
  endingOfState,
  RunError,
  type ServedFunction,
  type SignalSchemas,
  type WorkflowFunction,
} from '../functions/index.ts';
import { isToken, type Json, MillraceError, runEventSubject, runIdOfKey } from '../kernel/index.ts';
import { openDefinitions } from '../manifests/index.ts';
import { openReader } from '../replay/index.ts';
import type { DeclaredWorkflow } from './declared.ts';
import type { Run, RunOptions } from './run.ts';

/** What {@link client} takes. */
export interface ClientOptions {
  /** Server URL(s), comma-separated, or a connection that is open already (and stays open). */
  readonly url: string | NatsDoor;
  readonly token?: string | undefined;
  /** Path of a `.creds` file. */
  readonly credsFile?: string | undefined;
}

/** A program's way to the runs of both kinds of workflow. */
export interface MillraceClient {
  /**
   * Starts a run of a durable function; resolves when its start is stored.
   * @throws MillraceError MR_NATS, MR_PAYLOAD_TOO_LARGE; MR_INPUT_INVALID for an input or run id that cannot be one;
   *   MR_WORKFLOW_MISSING when a declared workflow was never applied
   */
  start<I, O, S extends SignalSchemas, A>(
    workflow: WorkflowFunction<I, O, S, A>,
    input: A,
    options?: RunOptions,
  ): Promise<Run<O, S>>;
  /** Starts a run of a declared workflow. */
  start<A, O, S extends SignalSchemas>(
    workflow: DeclaredWorkflow<A, O, S>,
    input: A,
    options?: RunOptions,
  ): Promise<Run<O, S>>;
  /** Starts a run of any workflow by its name. */
  start(workflow: string, input?: Json, options?: RunOptions): Promise<Run>;
  /** A run that was started before, here or elsewhere. */
  run<I, O, S extends SignalSchemas, A>(workflow: WorkflowFunction<I, O, S, A>, runId: string): Run<O, S>;
  run<A, O, S extends SignalSchemas>(workflow: DeclaredWorkflow<A, O, S>, runId: string): Run<O, S>;
  run(workflow: string, runId: string): Run;
  /** Closes what it opened itself. */
  close(): Promise<void>;
}

/** What is known of a workflow that was named. */
interface Target extends Pick<ServedFunction, 'name' | 'input' | 'output' | 'signals'> {
  /** Its code, when it is a durable function that the program has. */
  readonly fn?: WorkflowFunction;
}

type Named = ServedFunction | (Target & { readonly kind: 'declared' }) | string;

/** How long to wait before looking into the journal, in ms; twice as long each time, up to the last. */
const LOOK_FIRST_MS = 500;
const LOOK_MAX_MS = 30_000;

/**
 * Connects a client.
 * @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS_TOO_OLD, MR_NATS
 */
export async function client(options: ClientOptions): Promise<MillraceClient> {
  const { url, token, credsFile } = options;
  const own = typeof url === 'string';
  const door = own ? await connectNats({ url, name: 'client', token, credsFile }) : url;
  return new Millrace(door, own, await createClient({ nats: door })) as MillraceClient;
}

/** As {@link MillraceClient}, whose types say which results belong to which workflow. */
class Millrace {
  readonly door: NatsDoor;
  readonly functions: Client;
  readonly journal: ReturnType<typeof openJournal>;
  readonly #own: boolean;
  #definitions: ReturnType<typeof openDefinitions> | undefined;

  constructor(door: NatsDoor, own: boolean, functions: Client) {
    this.door = door;
    this.#own = own;
    this.functions = functions;
    this.journal = openJournal(door);
  }

  get definitions(): ReturnType<typeof openDefinitions> {
    this.#definitions ??= openDefinitions(this.door.nc);
    return this.#definitions;
  }

  async start(named: Named, input: unknown = null, options: RunOptions = {}): Promise<Run<unknown>> {
    const target = targetOf(named);
    const { key, by } = options;
    const runId = options.runId ?? (key === undefined ? undefined : runIdOfKey(target.name, key));
    if (runId !== undefined && !isToken(runId)) {
      throw new MillraceError('MR_INPUT_INVALID', `"${runId}" cannot be a run id`, {
        hint: 'use letters, digits, "-" and "_", at most 64 characters',
      });
    }
    assertFits(target.input, input, `the input of ${target.name}`);
    if (target.fn === undefined)
      return this.#startDeclared(target, input, runId ?? randomUUID(), runId !== undefined, by);
    const { runId: started } = await this.functions.start(target.fn, input, {
      ...(runId === undefined ? {} : { runId }),
      ...(by === undefined ? {} : { by }),
    });
    return this.#run(target, started);
  }

  async #startDeclared(
    target: Target,
    input: unknown,
    runId: string,
    chosen: boolean,
    by: string | undefined,
  ): Promise<Run<unknown>> {
    const { name } = target;
    const definition = await (await this.definitions).current(name);
    if (definition === undefined) {
      throw new MillraceError('MR_WORKFLOW_MISSING', `there is no workflow "${name}"`, {
        hint: 'apply its manifest with `millrace apply`, or let a worker serve the function',
      });
    }
    const run = { workflow: name, runId };
    // The duplicate window is only minutes long; a chosen id must hold for as long as its run is known.
    if (chosen && (await openReader(this.door.js, this.door.jsm).has(run))) return this.#run(target, runId);
    const payload = input as Json; // what goes into JSON.stringify is the caller's promise
    const body: InputBody = {
      v: 1,
      kind: 'start',
      digest: definition.digest,
      payload,
      ...(by === undefined ? {} : { by }),
    };
    await this.journal.send(run, body, { msgId: `start:${runId}`, ...(chosen ? {} : { first: true }) });
    return this.#run(target, runId);
  }

  run(named: Named, runId: string): Run<unknown> {
    return this.#run(targetOf(named), runId);
  }

  #run(target: Target, runId: string): Run<unknown> {
    return new ClientRun(this, target, runId);
  }

  async close(): Promise<void> {
    await this.functions.close();
    this.journal.close();
    if (this.#own) await this.door.close();
  }
}

class ClientRun implements Run<unknown> {
  readonly workflow: string;
  readonly runId: string;
  readonly #millrace: Millrace;
  readonly #target: Target;
  #result: Promise<unknown> | undefined;

  constructor(millrace: Millrace, target: Target, runId: string) {
    this.#millrace = millrace;
    this.#target = target;
    this.workflow = target.name;
    this.runId = runId;
  }

  get #ref(): RunRef {
    return { workflow: this.workflow, runId: this.runId };
  }

  result(): Promise<unknown> {
    this.#result ??= this.#waited();
    return this.#result;
  }

  async #waited(): Promise<unknown> {
    const { fn, output } = this.#target;
    if (fn !== undefined) return this.#millrace.functions.handle(fn, this.runId).result();
    const ending = await this.#ended();
    if (ending.status !== 'completed') throw new RunError(this.runId, ending);
    return output === undefined ? ending.output : assertFits(output, ending.output, `the result of ${this.workflow}`);
  }

  /** Waits for the end: the run's events say when to look, and time does. */
  async #ended(): Promise<Ending> {
    const { nc } = this.#millrace.door;
    let wake = (): void => {};
    const events: Subscription = nc.subscribe(runEventSubject(this.workflow, this.runId, 'X').replace(/X$/, '*'), {
      callback: () => wake(),
    });
    try {
      for (let wait = LOOK_FIRST_MS; ; wait = Math.min(LOOK_MAX_MS, 2 * wait)) {
        let timer: NodeJS.Timeout | undefined;
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
          timer = setTimeout(resolve, wait);
        });
        const ending = await this.#look();
        if (ending === undefined) await woken;
        clearTimeout(timer);
        if (ending !== undefined) return ending;
      }
    } finally {
      events.unsubscribe();
    }
  }

  async #look(): Promise<Ending | undefined> {
    const state = await this.#folded();
    if (!isEnded(state)) return undefined;
    const definition = await (await this.#millrace.definitions).byDigest(this.workflow, state.digest);
    return definition === undefined ? endingOfState(state) : endingOfRun(definition, state);
  }

  async #folded(): Promise<RunState> {
    return fold(this.workflow, this.runId, await this.#millrace.journal.entries(this.#ref));
  }

  async state(): Promise<RunState> {
    const state = await this.#folded();
    if (state.lastEntry > 0) return state;
    throw new MillraceError('MR_RUN_MISSING', `workflow ${this.workflow} has no run ${this.runId}`, {
      hint: 'its start may still be on its way: ask again, or see `millrace runs list`',
    });
  }

  async signal(name: string, payload: unknown = null): Promise<void> {
    const { signals } = this.#target;
    const schema = signals !== undefined && Object.hasOwn(signals, name) ? signals[name] : undefined;
    assertFits(schema, payload, `signal "${name}"`);
    await this.send({ v: 1, kind: 'signal', name, payload: payload as Json });
  }

  cancel(reason: string, { graceMs }: { readonly graceMs?: number } = {}): Promise<void> {
    return this.send({ v: 1, kind: 'cancel', reason, ...(graceMs === undefined ? {} : { graceMs }) });
  }

  kill(reason: string): Promise<void> {
    return this.send({ v: 1, kind: 'kill', reason });
  }

  resume(step?: string): Promise<void> {
    return this.send({ v: 1, kind: 'resume', ...(step === undefined ? {} : { step }) });
  }

  retry(): Promise<void> {
    return this.send({ v: 1, kind: 'retry' });
  }

  async send(body: InputBody, id: string = randomUUID()): Promise<void> {
    await this.#millrace.journal.send(this.#ref, body, { msgId: `${body.kind}:${this.runId}:${id}` });
  }
}

function targetOf(named: Named): Target {
  if (typeof named === 'string') return { name: named, input: undefined };
  if ('kind' in named) return { ...named, input: named.input };
  return { ...named, fn: named as unknown as WorkflowFunction };
}

/** What the schema makes of the value. @throws MillraceError MR_INPUT_INVALID, MR_OUTPUT_INVALID for a result */
function assertFits(schema: Target['input'], value: unknown, what: string): unknown {
  if (schema === undefined) return value;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  const code = what.startsWith('the result') ? 'MR_OUTPUT_INVALID' : 'MR_INPUT_INVALID';
  throw new MillraceError(code, `${what}${where}: ${issue?.message ?? 'does not fit'}`, {
    hint: 'compare it with the schema that the workflow was declared with',
  });
}
