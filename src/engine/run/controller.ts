/**
 * The controller: takes inputs, decides, appends, sends commands, acknowledges.
 *
 * Job: drive runs forward from their journal, any number of controllers at once. Boundary: ports only (Journal, Outbox,
 * DefinitionLookup, Clock, Telemetry); the rules are in model/. Invariants (docs/architecture.md, R1 to R8):
 *   R1 input → transition → command → ack, in this order; a crash anywhere is repaired by the redelivery (events leave last,
 *      and only the ack waits for them, not the run's next input);
 *   R2 one run at a time in a process; between processes the append's expected sequence decides;
 *   R3 before an input every earlier unhandled input of its run is handled, so all controllers decide alike;
 *   R4 an input that was handled before sends its commands again (those the run still wants) and nothing else;
 *   R5 poison, and what can never be decided, becomes a dead letter before it is terminated;
 *   R6 what fails for now is given back with growing delay, and its run is not taken for granted until looked up;
 *   R7 spans are recorded by the process whose append succeeded, once, never on sending again;
 *   R8 an input that was purged with its run while it was in hand is not decided: it would begin the run anew.
 */
import {
  type Clock,
  inputSubject,
  isMillraceError,
  MillraceError,
  messageOf,
  workflowStream,
} from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { giveBackMs } from '../journal/give-back.ts';
import type { InputDelivery, Journal, RunRef, StoredInput } from '../journal/port.ts';
import { isOld, isPurged } from '../journal/purged.ts';
import {
  type Definition,
  decision,
  evolveEntry,
  fold,
  foldOnto,
  type InputBody,
  type LogEntry,
  newRun,
  type RunState,
  react,
  type StoredEntry,
} from '../model/index.ts';
import { stillWanted, withoutMomentaryTimers } from './commands-again.ts';
import { type KnownRun, KnownRuns } from './known-runs.ts';
import { parseInput } from './parse-input.ts';
import type { DefinitionLookup, Outbox, PlacedCommand } from './ports.ts';
import { consequenceOf } from './refusal.ts';
import { spansOf } from './spans.ts';

export interface ControllerPorts {
  readonly journal: Journal;
  readonly outbox: Outbox;
  readonly definitions: DefinitionLookup;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

export interface ControllerOptions {
  /** Runs whose state is kept in memory; 10,000 by default. */
  readonly cacheSize?: number;
  /** Collisions with other controllers on one input before it is given back; 20 by default. */
  readonly maxConflicts?: number;
}

/** What became of an input. */
type Outcome =
  /** Transitions were stored. */
  | 'applied'
  /** It changed nothing. */
  | 'nothing'
  /** It had been handled before. */
  | 'again'
  /** It can never be decided; its dead letter is stored. */
  | 'refused'
  | 'conflict';

/** Events on their way: the error, when it is not known that they are stored. Never rejects. */
type Telling = Promise<unknown>;

/** How an input's turn ended. */
interface Turned {
  readonly begun: number;
  readonly outcome?: Outcome;
  readonly error?: unknown;
}

interface Arrival {
  readonly input: StoredInput;
  readonly body: InputBody;
  readonly ownSince: number;
  readonly restAcked: boolean;
  readonly firstDelivery: boolean;
}

export class Controller {
  readonly #ports: ControllerPorts;
  readonly #known: KnownRuns;
  readonly #maxConflicts: number;
  /** The end of each run's queue in this process. */
  readonly #tails = new Map<string, Promise<Turned>>();

  constructor(ports: ControllerPorts, options: ControllerOptions = {}) {
    this.#ports = ports;
    this.#known = new KnownRuns(options.cacheSize ?? 10_000);
    this.#maxConflicts = options.maxConflicts ?? 20;
  }

  /** Handles one delivery to its end (ack, nak or term); never rejects. Hand it to `Journal.consume`. */
  handle(delivery: InputDelivery): Promise<void> {
    const key = keyOf(delivery.run);
    const before = this.#tails.get(key);
    const told: Telling[] = [];
    const mine =
      before === undefined ? this.#turn(key, delivery, told) : before.then(() => this.#turn(key, delivery, told));
    this.#tails.set(key, mine);
    return mine.then((turned) => {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
      return this.#settle(key, delivery, turned, told);
    });
  }

  /** The input's turn among those of its run; never rejects. Its events go to `told`. */
  async #turn(key: string, delivery: InputDelivery, told: Telling[]): Promise<Turned> {
    const begun = this.#ports.clock.now();
    try {
      return { begun, outcome: await this.#process(key, delivery, told) };
    } catch (error) {
      this.#known.doubt(key, delivery.seq); // before the run's next input has its turn
      return { begun, error };
    }
  }

  async #settle(
    key: string,
    delivery: InputDelivery,
    { begun, outcome, error }: Turned,
    told: Telling[],
  ): Promise<void> {
    const { metrics } = this.#ports.telemetry;
    const { workflow } = delivery.run;
    // All have ended before the input is given back, so that nothing is still being sent then.
    let failure = error;
    for (const telling of told) failure = (await telling) ?? failure;
    if (failure !== undefined || outcome === undefined) return this.#giveBack(key, delivery, failure);
    if (outcome === 'refused') delivery.term('see the dead letter');
    else delivery.ack();
    metrics.count('millrace_engine_inputs_total', { workflow, outcome });
    metrics.observe('millrace_engine_input_seconds', (this.#ports.clock.now() - begun) / 1_000, { workflow });
  }

  #giveBack(key: string, delivery: InputDelivery, error: unknown): void {
    const { metrics, log } = this.#ports.telemetry;
    const { run, seq, deliveries } = delivery;
    const delayMs = giveBackMs(deliveries);
    this.#known.doubt(key, seq);
    delivery.nak(delayMs);
    metrics.count('millrace_engine_inputs_total', { workflow: run.workflow, outcome: 'given_back' });
    const code = isMillraceError(error) ? error.code : 'MR_INTERNAL';
    log.warn({ ...run, seq, deliveries, delayMs, code, err: error }, `input given back: ${messageOf(error)}`);
  }

  async #process(key: string, delivery: InputDelivery, told: Telling[]): Promise<Outcome> {
    const parsed = parseInput(delivery.data);
    if (!parsed.ok) return this.#refuse(delivery, new MillraceError(parsed.error.code, parsed.error.reason));
    if (parsed.value.kind === 'imported') return 'nothing'; // also where an entry names it: its commands were sent elsewhere
    const arrival: Arrival = {
      input: delivery,
      body: parsed.value,
      ownSince: delivery.ownSince,
      restAcked: delivery.restAcked,
      firstDelivery: delivery.deliveries === 1,
    };
    for (let conflicts = 0; conflicts <= this.#maxConflicts; conflicts++) {
      const outcome = await this.#arrive(key, arrival, conflicts === 0, told);
      if (outcome !== 'conflict') return outcome;
      this.#known.forget(key);
      this.#ports.telemetry.metrics.count('millrace_engine_conflicts_total', { workflow: delivery.run.workflow });
    }
    throw new MillraceError('MR_CONFLICT', `${this.#maxConflicts} collisions with other controllers in a row`);
  }

  /** One try at an input and, before it, at every earlier one that is not handled yet (R3). */
  async #arrive(key: string, arrival: Arrival, first: boolean, told: Telling[]): Promise<Outcome> {
    const { input, body, ownSince, restAcked } = arrival;
    const remembered = this.#known.get(key);
    let known = remembered ?? (await this.#read(key, arrival, first));
    if (input.seq <= known.settled) return this.#again(input, told);
    const fresh = remembered === undefined;
    if (this.#known.needsLookUp(key, known.settled, { ownSince, restAcked, fresh })) {
      const earlier = await this.#ports.journal.inputsBetween(input.run, known.settled, input.seq);
      this.#ports.telemetry.metrics.count('millrace_engine_lookups_total', { workflow: input.run.workflow });
      for (const one of earlier) {
        const parsed = parseInput(one.data);
        if (!parsed.ok) continue; // its own delivery makes it a dead letter
        const next = await this.#apply(known, one, parsed.value, told);
        if (next === 'conflict') return 'conflict';
        known = next.known;
        this.#known.set(key, known);
      }
      this.#known.trust(key, input.seq);
    }
    const next = await this.#apply(known, input, body, told);
    if (next === 'conflict') return 'conflict';
    this.#known.set(key, next.known);
    return next.outcome;
  }

  /** The run as its log says. */
  async #read(key: string, arrival: Arrival, first: boolean): Promise<KnownRun> {
    const { input, body, ownSince, restAcked, firstDelivery } = arrival;
    const { workflow, runId } = input.run;
    const facts = { ownSince, restAcked, fresh: true };
    // A first start whose run was never seen, when nothing went elsewhere: most likely a new run, and if it is not, the
    // append at the beginning of the log is refused and the log is read.
    if (first && firstDelivery && body.kind === 'start' && !this.#known.needsLookUp(key, 0, facts)) {
      return { state: newRun(workflow, runId), settled: 0 };
    }
    const state = fold(workflow, runId, await this.#ports.journal.entries(input.run));
    return { state, settled: state.lastInput };
  }

  /** Decides one input on the state before it, stores what it means, sends what follows. */
  async #apply(
    known: KnownRun,
    input: StoredInput,
    body: InputBody,
    told: Telling[],
  ): Promise<{ readonly known: KnownRun; readonly outcome: Outcome } | 'conflict'> {
    const before = known.state;
    const settled = { state: before, settled: input.seq };
    const definition = await this.#definitionFor(before, body);
    if (definition === undefined) {
      return { known: settled, outcome: await this.#refuse(input, missing(input.run, body, before)) };
    }
    const { seq, at } = input;
    if (before.status === 'new' && definition.retention !== undefined && isOld(at, this.#ports.clock.now())) {
      if (await isPurged(this.#ports.journal, input)) return { known: settled, outcome: 'nothing' }; // R8
    }
    const target = body.kind === 'move' ? await this.#targetOf(input.run, body.digest) : undefined;
    const { transitions, after: decided } = decision(definition, before, { seq, at, body }, target);
    if (transitions.length === 0) return { known: settled, outcome: 'nothing' };
    const entry: LogEntry = { v: 1, cause: seq, at, transitions };
    let appended: Awaited<ReturnType<Journal['append']>>;
    try {
      appended = await this.#ports.journal.append(input.run, entry, before.lastEntry);
    } catch (error) {
      if (!isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')) throw error;
      return { known: settled, outcome: await this.#tooLarge(before, input, body, error) };
    }
    if (!appended.ok) return 'conflict';
    const stored: StoredEntry = { ...entry, seq: appended.value };
    const after: RunState = { ...decided, lastInput: Math.max(before.lastInput, seq), lastEntry: stored.seq };
    const { tracer } = this.#ports.telemetry;
    if (tracer.enabled) for (const span of spansOf(before, entry)) tracer.record(span);
    await this.#send(input.run, after, stored, placed(react(target ?? definition, before, entry)), told);
    return { known: { state: after, settled: seq }, outcome: 'applied' };
  }

  /** R4: the input was handled before, perhaps by a process that died before it sent everything. */
  async #again(input: StoredInput, told: Telling[]): Promise<Outcome> {
    const { run, seq } = input;
    const entries = await this.#ports.journal.entries(run);
    const index = entries.findIndex(({ cause }) => cause === seq);
    const entry = entries[index];
    if (entry === undefined) return 'again';
    const before = fold(run.workflow, run.runId, entries.slice(0, index));
    const after = evolveEntry(before, entry);
    const now = foldOnto(after, entries.slice(index + 1));
    // Before its start a run has no definition and no commands that need one.
    const definition = after.digest === '' ? undefined : await this.#byDigest(run.workflow, after.digest);
    if (definition === undefined) return 'again';
    await this.#send(run, now, entry, stillWanted(placed(react(definition, before, entry)), now), told);
    return 'again';
  }

  /** Sends what the run's next input may build on, then its events; waits for the former. */
  async #send(
    run: RunRef,
    state: RunState,
    entry: StoredEntry,
    commands: readonly PlacedCommand[],
    told: Telling[],
  ): Promise<void> {
    const { outbox } = this.#ports;
    const wanted = withoutMomentaryTimers(commands);
    const events = wanted.filter(({ command }) => command.kind === 'event');
    const others = events.length === 0 ? wanted : wanted.filter(({ command }) => command.kind !== 'event');
    const batch = { run, state, entry: { seq: entry.seq, at: entry.at } };
    const sending = others.length === 0 ? undefined : outbox.send({ ...batch, commands: others });
    if (events.length > 0) {
      told.push(
        outbox.send({ ...batch, commands: events }).then(
          () => undefined,
          (error: unknown) => error ?? new Error('the events were not sent'),
        ),
      );
    }
    await sending;
  }

  /** undefined: the definition that the input names was never applied, so it can never be decided. */
  async #definitionFor(state: RunState, body: InputBody): Promise<Definition | undefined> {
    const { definitions } = this.#ports;
    const { workflow, digest } = state;
    if (digest !== '') return this.#byDigest(workflow, digest);
    return body.kind === 'start' ? definitions.byDigest(workflow, body.digest) : definitions.current(workflow);
  }

  /** The definition that a run is to move to, if there is one. */
  #targetOf({ workflow }: RunRef, digest: string): Promise<Definition | undefined> {
    return this.#ports.definitions.byDigest(workflow, digest);
  }

  /** The definition of a run that has started: it exists, so its absence is a failure of the store. */
  async #byDigest(workflow: string, digest: string): Promise<Definition> {
    const definition = await this.#ports.definitions.byDigest(workflow, digest);
    if (definition !== undefined) return definition;
    throw new MillraceError('MR_DEFINITION_MISSING', `definition ${digest} of workflow ${workflow} is gone`, {
      hint: 'apply the manifest that the run was started with once more; its runs go on by themselves',
      next: 'retry',
    });
  }

  /** R5. */
  async #refuse(input: StoredInput, error: MillraceError): Promise<Outcome> {
    const { run, seq, data, headers } = input;
    const { log } = this.#ports.telemetry;
    log.warn({ ...run, seq, code: error.code }, `input refused: ${error.message}`);
    await this.#ports.outbox.deadLetter({
      kind: 'input',
      workflow: run.workflow,
      id: run.runId,
      runId: run.runId,
      code: error.code,
      reason: error.message,
      origin: {
        stream: workflowStream(run.workflow),
        sequence: seq,
        subject: inputSubject(run.workflow, run.runId),
      },
      data,
      headers,
    });
    return 'refused';
  }

  /**
   * What the input means does not fit into one message. The run must not hang on it: the attempt fails, or the run is
   * cancelled, by an input of its own, so that replay sees why.
   */
  async #tooLarge(state: RunState, input: StoredInput, body: InputBody, error: MillraceError): Promise<Outcome> {
    const consequence = consequenceOf(state, body, error);
    if (consequence !== undefined) {
      await this.#ports.journal.send(input.run, consequence, { msgId: `too-large:${input.run.runId}:${input.seq}` });
    }
    return this.#refuse(input, error);
  }
}

function keyOf(run: RunRef): string {
  return `${run.workflow}/${run.runId}`;
}

function placed(commands: ReturnType<typeof react>): readonly PlacedCommand[] {
  return commands.map((command, index) => ({ index, command }));
}

function missing(run: RunRef, body: InputBody, state: RunState): MillraceError {
  const digest = body.kind === 'start' ? body.digest : state.digest;
  const which = digest === '' ? 'no definition' : `no definition ${digest}`;
  return new MillraceError('MR_DEFINITION_MISSING', `workflow ${run.workflow} has ${which}`, {
    hint: 'apply its manifest, then re-deliver the dead letter',
  });
}
