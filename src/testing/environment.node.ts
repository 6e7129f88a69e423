/**
 * A whole Millrace in memory, with a clock that skips what nobody does anything in: for tests of workflows.
 *
 * ```ts
 * const env = await testEnvironment({ workflows: [order], steps: [charge] });
 * const run = await env.start(order, { id: 'o-1' });
 * await env.advance('3 days');
 * await run.signal('approved', true);
 * expect(await run.result()).toBe('shipped');
 * ```
 * The controller, the hosts of functions and the runners of steps are the ones that run in production; only what they write to
 * is in memory. Nothing of it needs a server, a file or a free port.
 */
import { type Definition, decideTrigger, endingOfRun, isEnded, type RunRef, type RunState } from '../engine/index.ts';
import {
  definitionOf,
  type Ending,
  endingOfState,
  type RunHistory,
  type ServedFunction,
  type SignalSchemas,
  type WorkflowFunction,
} from '../functions/index.ts';
import { derivedId, formatPlace, type Json, MillraceError, runIdOfKey } from '../kernel/index.ts';
import { checkManifests, covers, readManifests, sealDefinition } from '../manifests/index.ts';
import type { AnyStep } from '../worker/index.ts';
import { VirtualClock } from './clock.ts';
import { durationOf } from './duration.ts';
import { Faults, type Injection, type Point } from './faults.ts';
import { Flows } from './flows.ts';
import { type Mock, Mocks } from './mocks.ts';
import { Processes } from './processes.ts';
import { type RunOwner, TestRun } from './run.ts';
import { MemoryServer, type TestEvent, type TestLetter } from './server.ts';
import { whyItStands } from './standstill.ts';

/** What {@link testEnvironment} takes. */
export interface TestOptions {
  /** Manifests of declared workflows: files, folders, or YAML itself. */
  readonly manifests?: readonly string[];
  /** Definitions, as the engine has them, instead of manifests. */
  readonly definitions?: readonly Definition[];
  /** Durable functions. */
  readonly workflows?: readonly ServedFunction[];
  /** Steps with their code, for declared workflows. Steps without code need a mock. */
  readonly steps?: readonly AnyStep[];
  /** When it begins, ms since the epoch; the beginning of 2026 by default. */
  readonly now?: number;
  /**
   * Resting functions are kept in memory, as in production. By default none is: whatever wakes a run replays it from its
   * journal, so that code which is not deterministic is found out.
   */
  readonly keepResting?: boolean;
  /** How long code of steps that really waits may take before time moves on without it, in ms of real time; 200 by default. */
  readonly realMs?: number;
}

/** How a run is started in a test. */
export interface TestStart {
  readonly runId?: string;
  /** Idempotency key: starting twice under one key starts one run. */
  readonly key?: string;
}

const BEGIN = Date.UTC(2026, 0, 1);
/** Jumps of time before a run counts as one that never ends. */
const MAX_JUMPS = 100_000;

/**
 * Makes a test environment.
 * @throws MillraceError MR_MANIFEST_INVALID with the first problem of a manifest; MR_USAGE for names that clash
 */
export async function testEnvironment(options: TestOptions): Promise<TestEnvironment> {
  const definitions = [...(options.definitions ?? []), ...(await definitionsOf(options.manifests ?? []))];
  const env = new TestEnvironment(options, definitions);
  await env.begin();
  return env;
}

async function definitionsOf(manifests: readonly string[]): Promise<readonly Definition[]> {
  const isText = (one: string): boolean => one.includes('\n');
  const paths = manifests.filter((one) => !isText(one));
  const texts = manifests.filter(isText).map((text, index) => ({ file: `manifest ${index + 1}`, text }));
  const sources = [...(paths.length === 0 ? [] : await readManifests(paths)), ...texts];
  const { definitions, problems } = checkManifests(sources);
  const [first] = problems.filter(({ severity }) => severity === 'error');
  if (first === undefined) return definitions;
  throw new MillraceError('MR_MANIFEST_INVALID', `${formatPlace(first.place)}: ${first.message}`, {
    hint: first.hint ?? 'see `millrace validate` for all of them',
    place: first.place,
  });
}

/** See {@link testEnvironment}. */
export class TestEnvironment implements RunOwner {
  readonly server: MemoryServer;
  readonly #clock: VirtualClock;
  readonly #faults = new Faults();
  readonly #mocks = new Mocks();
  readonly #flows: Flows;
  readonly #processes: Processes;
  readonly #realMs: number;
  /** What processes logged at warn or error. */
  readonly warnings: string[] = [];
  /** Steps whose code runs now. */
  readonly #running: string[] = [];
  #progressed: () => void = () => {};
  #ids = 0;

  constructor(options: TestOptions, definitions: readonly Definition[]) {
    const { workflows = [], steps = [], keepResting = false, realMs = 200, now = BEGIN } = options;
    this.#realMs = realMs;
    this.#clock = new VirtualClock(now);
    this.server = new MemoryServer(this.#clock, this.#faults, (client) => this.#processes.died(client));
    for (const definition of definitions) this.server.define(definition);
    const code = new Set(workflows.map(({ name }) => name));
    const clash = definitions.find((one) => code.has(one.name) && one.code !== true);
    if (clash !== undefined || code.size < workflows.length) {
      throw new MillraceError('MR_USAGE', `two workflows are named "${clash?.name ?? twice(workflows)}"`, {
        hint: 'give each workflow a name of its own',
      });
    }
    for (const { name } of workflows) {
      // A manifest of kind Function may have given it triggers; clients start the bare one.
      if (!definitions.some((one) => one.name === name)) this.server.define(sealDefinition(definitionOf(name)));
    }
    const began = (step: string): (() => void) => this.#began(step);
    this.#flows = new Flows({ server: this.server, mocks: this.#mocks, began });
    this.#processes = new Processes(
      {
        server: this.server,
        faults: this.#faults,
        mocks: this.#mocks,
        functions: workflows,
        steps,
        keepResting: keepResting ? 1_000 : 0,
        warned: (message) => this.warnings.push(message),
        began,
      },
      this.#flows.reconcile,
    );
  }

  /** @internal */
  begin(): Promise<void> {
    return this.#processes.start();
  }

  /** Now, ms since the epoch. */
  get now(): number {
    return this.#clock.now();
  }

  /** Events that were published. */
  get events(): readonly TestEvent[] {
    return this.server.events;
  }

  /** Messages that were given up. */
  get deadLetters(): readonly TestLetter[] {
    return this.server.letters;
  }

  /** Processes that died so far, by injected crashes and restarts. */
  get deaths(): number {
    return this.#processes.deaths;
  }

  /** Points that faults could have struck at so far, in order. */
  get points(): readonly Point[] {
    return this.#faults.passed;
  }

  /**
   * Starts a run of a durable function, or of a declared workflow by its name.
   * @throws MillraceError MR_WORKFLOW_MISSING
   */
  start<I, O, S extends SignalSchemas, A>(
    fn: WorkflowFunction<I, O, S, A>,
    input: A,
    options?: TestStart,
  ): Promise<TestRun<O>>;
  start(workflow: string, payload?: Json, options?: TestStart): Promise<TestRun>;
  async start(what: string | ServedFunction, payload: unknown = null, options: TestStart = {}): Promise<TestRun> {
    const workflow = typeof what === 'string' ? what : what.name;
    const { digest } = this.server.definition(workflow);
    const { key, runId = key === undefined ? derivedId('test', ++this.#ids) : runIdOfKey(workflow, key) } = options;
    const run = { workflow, runId };
    const body = { v: 1, kind: 'start', digest, payload: jsonOf(payload), by: 'test' } as const;
    await this.server.send(run, body, `start:${runId}`);
    await this.settle();
    return new TestRun(this, run);
  }

  /** A run that was started before, by a trigger or a parent. */
  run<O = Json>(workflow: string | Pick<ServedFunction, 'name'>, runId: string): TestRun<O> {
    return new TestRun<O>(this, { workflow: typeof workflow === 'string' ? workflow : workflow.name, runId });
  }

  /** All runs there are, of one workflow or of all. */
  async runs(workflow?: string): Promise<readonly TestRun[]> {
    const names = workflow === undefined ? [...new Set(this.server.definitions.map(({ name }) => name))] : [workflow];
    const ids = await Promise.all(
      names.map(async (name) => (await this.server.outside.runIds(name)).map((runId) => ({ workflow: name, runId }))),
    );
    return ids.flat().map((run) => new TestRun(this, run));
  }

  /** Publishes a message that triggers may bind to; gives the runs that it starts. */
  async publish(subject: string, payload: Json, headers: Readonly<Record<string, string>> = {}): Promise<TestRun[]> {
    const sequence = ++this.#ids;
    const data = new TextEncoder().encode(JSON.stringify(payload));
    const started: TestRun[] = [];
    for (const definition of this.server.definitions) {
      for (const trigger of definition.triggers) {
        if (!covers(trigger.subject, subject)) continue;
        const { stream } = trigger;
        const message = { stream, sequence, subject, storedAt: this.now, data, headers };
        const decision = decideTrigger(definition, trigger, message);
        if (decision.kind === 'dead') {
          const { code, message: reason } = decision.error;
          this.server.letter({ kind: 'trigger', workflow: definition.name, code, reason });
        }
        if (decision.kind !== 'start') continue;
        const run = { workflow: definition.name, runId: decision.runId };
        await this.server.send(run, decision.body, `start:${run.runId}`);
        started.push(new TestRun(this, run));
      }
    }
    await this.settle();
    return started;
  }

  /**
   * Lets `mock` stand in for the code of a step: of a function's step by its name, of a declared step by its handler or its
   * name, of a flow by its deployment.
   */
  mock(name: string, mock: Mock): void {
    this.#mocks.set(name, mock);
  }

  /** Takes a mock away. */
  unmock(name: string): void {
    this.#mocks.delete(name);
  }

  /**
   * Lets a fault strike.
   * @throws MillraceError MR_USAGE for a fault that cannot strike there
   */
  inject(injection: Injection): void {
    this.#faults.add(injection);
  }

  /** Forgets the faults that have not struck. */
  clearFaults(): void {
    this.#faults.clear();
  }

  /** Lets one attempt of a step fail; the first by default. */
  failAttempt(step: string, attempt = 1, error?: Error): void {
    this.inject({ at: 'step.before', do: 'fail', name: step, attempt, ...(error === undefined ? {} : { error }) });
  }

  /** Kills every process and starts them anew: what is not in the journal is gone. */
  async restart(): Promise<void> {
    this.#processes.restart();
    await this.settle();
  }

  /** Puts a recorded history into this environment, so that the run goes on from there. */
  load<O = Json>({ entries, ...run }: Omit<RunHistory, 'inputs'>): TestRun<O> {
    const ref: RunRef = { workflow: run.workflow, runId: run.runId };
    this.server.load(ref, entries);
    this.#clock.ring(entries.at(-1)?.at ?? 0);
    return new TestRun<O>(this, ref);
  }

  #began(step: string): () => void {
    this.#running.push(step);
    return () => {
      this.#running.splice(this.#running.indexOf(step), 1);
      this.#progressed();
    };
  }

  /** Lets everything happen that happens at this time. */
  async settle(): Promise<void> {
    // All of the engine is microtasks here, so one turn of the event loop is the end of it; code of steps may take more.
    let before = -1;
    while (before !== this.#faults.count) {
      before = this.#faults.count;
      await nextTurn();
      await nextTurn();
    }
  }

  /** Code of steps that really does something: it is waited for, in real time and for a short while. True when some of it ended. */
  async #realWork(): Promise<boolean> {
    if (this.#running.length === 0) return false;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), this.#realMs);
      this.#progressed = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  /** Everything at this time, the real work of steps included. */
  async #exhaust(): Promise<void> {
    do await this.settle();
    while (await this.#realWork());
  }

  /** Moves time on, and lets everything happen on the way in its order. */
  async advance(duration: number | string): Promise<void> {
    const end = this.now + durationOf(duration);
    await this.#exhaust();
    for (let next = this.#clock.next; next !== undefined && next <= end; next = this.#clock.next) {
      this.#clock.ring(next);
      await this.#exhaust();
    }
    this.#clock.ring(end);
    await this.settle();
  }

  #endingOf(state: RunState): Ending | undefined {
    if (!isEnded(state)) return undefined;
    const definition = this.server.known(state.workflow, state.digest);
    return definition === undefined || definition.code === true ? endingOfState(state) : endingOfRun(definition, state);
  }

  /** @internal See {@link TestRun.ending}. */
  async ended(run: RunRef): Promise<Ending> {
    for (let jumps = 0; ; ) {
      await this.settle();
      const ending = this.#endingOf(this.server.state(run));
      if (ending !== undefined) return ending;
      if (await this.#realWork()) continue;
      const { next } = this.#clock;
      if (next === undefined || jumps++ > MAX_JUMPS) {
        throw whyItStands(this.server.state(run), {
          orphans: this.server.tasks.orphans,
          flows: [...this.#flows.missing],
          running: this.#running,
          warnings: this.warnings,
        });
      }
      this.#clock.ring(next);
    }
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function twice(workflows: readonly ServedFunction[]): string {
  const names = workflows.map(({ name }) => name);
  return names.find((name, index) => names.indexOf(name) !== index) ?? '';
}

/** What goes over the wire: a payload that is no JSON fails here and not in the function. */
function jsonOf(value: unknown): Json {
  const text = JSON.stringify(value);
  return text === undefined ? null : (JSON.parse(text) as Json);
}
