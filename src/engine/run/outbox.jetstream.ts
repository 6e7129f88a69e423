/**
 * The outbox on JetStream. Message ids follow from the journal (docs/protocol.md), so a command that is sent again after a
 * crash is stored once; timers live under one subject each, so that setting one again replaces it. The streams are shared
 * by all workflows, and two workflows may have runs of one name, so every id names the workflow.
 */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from 'nats';
import {
  assertPayload,
  type Committer,
  expectStored,
  maxPayload,
  type NatsDoor,
  openCommitter,
  openPublisher,
  type Publisher,
} from '../../drivers/index.ts';
import {
  cancelSubject,
  HEADERS,
  isMillraceError,
  MillraceError,
  messageOf,
  runEventSubject,
  STREAMS,
  stepEventSubject,
  taskSubject,
  timerFiredSubject,
  timerSubject,
} from '../../kernel/index.ts';
import { attemptContext, headersOfContext, type Telemetry, type TraceHeaders } from '../../telemetry/index.ts';
import { storeDeadLetter } from '../dead/dead-letters.jetstream.ts';
import type { Journal } from '../journal/port.ts';
import type { CancelMessage, Command, Failure, TaskMessage } from '../model/index.ts';
import { askMessage } from './asks.ts';
import { closeChild, startChild, tellParent } from './children.ts';
import type { CommandBatch, DeadLetter, DefinitionLookup, Outbox, PlacedCommand, ReconcileQueue } from './ports.ts';
import { startingMessage } from './starting-message.jetstream.ts';

export interface JetStreamOutboxOptions {
  readonly door: NatsDoor;
  readonly journal: Journal;
  /** Where the workflows of child runs are looked up. */
  readonly definitions: Pick<DefinitionLookup, 'current'>;
  /** Without it Prefect steps are not started; the sweep of a controller that has one finds them. */
  readonly queue?: ReconcileQueue | undefined;
  readonly telemetry: Telemetry;
}

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>;

/** @param options.door stays the caller's */
export function openOutbox(options: JetStreamOutboxOptions): Outbox & { close(): void } {
  return new JetStreamOutbox(options);
}

class JetStreamOutbox implements Outbox {
  readonly #options: JetStreamOutboxOptions;
  readonly #nc: NatsConnection;
  readonly #jsm: JetStreamManager;
  readonly #publisher: Publisher;
  /** For tasks and events: with many waiting they share fsyncs. */
  readonly #committer: Committer;

  constructor(options: JetStreamOutboxOptions) {
    this.#options = options;
    this.#nc = options.door.nc;
    this.#jsm = options.door.jsm;
    this.#publisher = openPublisher(options.door.nc);
    this.#committer = openCommitter(options.door);
  }

  close(): void {
    this.#publisher.close();
    this.#committer.close();
  }

  async send(batch: CommandBatch): Promise<void> {
    // All at once: no receiver relies on the order of different commands of one entry. All have ended before an error is
    // reported, so that nothing is still being sent when the input is given back.
    const [only] = batch.commands;
    if (only !== undefined && batch.commands.length === 1) return this.#one(batch, only);
    const results = await Promise.allSettled(batch.commands.map((placed) => this.#one(batch, placed)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  deadLetter(letter: DeadLetter): Promise<void> {
    return storeDeadLetter(this.#publisher, letter, maxPayload(this.#nc));
  }

  #one(batch: CommandBatch, { index, command }: PlacedCommand): Promise<void> {
    switch (command.kind) {
      case 'task':
        return this.#task(batch, command);
      case 'reconcile':
        return this.#reconcile(batch, command);
      case 'timer':
        return this.#setTimer(batch, command);
      case 'timer.cancel':
        return this.#cancelTimer(batch, command);
      case 'task.cancel':
        return this.#cancelTask(batch, command);
      case 'event':
        return this.#event(batch, command, index);
      case 'dead':
        return this.#dead(batch, command);
      case 'child':
        return startChild(this.#options, batch, command);
      case 'child.close':
        return closeChild(this.#options, batch, command);
      case 'parent':
        return tellParent(this.#options, batch, command);
      case 'slot.ask':
      case 'slot.free':
        return this.#ask(batch, command);
      default:
        throw new MillraceError('MR_INTERNAL', `the outbox does not know the command ${command.kind}`);
    }
  }

  async #ask({ run }: CommandBatch, command: Of<'slot.ask' | 'slot.free'>): Promise<void> {
    const { subject, msgId, body } = askMessage(run, command);
    const headers = { [HEADERS.msgId]: msgId };
    expectStored(await this.#publisher.publish(subject, JSON.stringify(body), headers), subject);
  }

  /** Stores a task or an event. */
  async #commit(
    stream: string,
    subject: string,
    body: object,
    headers: Record<string, string>,
    what: string,
  ): Promise<void> {
    const data = JSON.stringify(body);
    assertPayload(this.#nc, data, what);
    expectStored(await this.#committer.publish(stream, subject, data, headers), subject);
  }

  async #task({ run, state }: CommandBatch, command: Of<'task'>): Promise<void> {
    const { kind: _kind, queue, ...task } = command;
    const { handler, step, attempt } = task;
    const body: TaskMessage = {
      v: 1,
      ...run,
      ...task,
    };
    const headers = {
      [HEADERS.msgId]: `task:${run.workflow}:${run.runId}:${step}:${attempt}`,
      ...contextHeaders(state.trace, run.runId, step, attempt),
    };
    try {
      await this.#commit(STREAMS.tasks, taskSubject(queue, handler), body, headers, `the input of step "${step}"`);
    } catch (error) {
      if (!isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')) throw error;
      await this.#failTask(run, step, attempt, error);
    }
  }

  async #failTask(run: CommandBatch['run'], step: string, attempt: number, error: MillraceError): Promise<void> {
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    const failure: Failure = { code: error.code, message: error.message, ...hint, retryable: false, lost: false };
    await this.#options.journal.send(
      run,
      { v: 1, kind: 'task.failed', step, attempt, error: failure },
      { msgId: `result:${run.runId}:${step}:${attempt}` },
    );
  }

  /** A hint (O2): what the queue cannot take, the sweep finds. */
  async #reconcile({ run, state }: CommandBatch, { step, attempt }: Of<'reconcile'>): Promise<void> {
    const { queue, telemetry } = this.#options;
    if (queue === undefined) return;
    const trace = state.trace === undefined ? undefined : attemptContext(state.trace, run.runId, step, attempt);
    try {
      await queue.enqueue({ ...run, step, attempt }, { trace });
    } catch (error) {
      telemetry.log.warn({ ...run, step, attempt, err: error }, `reconcile key not queued: ${messageOf(error)}`);
      telemetry.metrics.count('millrace_engine_hints_lost_total', { kind: 'reconcile' });
    }
  }

  async #setTimer({ run, entry }: CommandBatch, { timer, at }: Of<'timer'>): Promise<void> {
    const headers = {
      // A timer may be set again to another time, or to the same.
      [HEADERS.msgId]: `set:${run.workflow}:${run.runId}:${timer}:${entry.seq}`,
      'Nats-Schedule': `@at ${new Date(at).toISOString()}`,
      'Nats-Schedule-Target': timerFiredSubject(run.workflow, run.runId),
    };
    const subject = timerSubject(run.workflow, run.runId, timer);
    const data = JSON.stringify({ v: 1, timer, at });
    expectStored(await this.#publisher.publish(subject, data, headers), subject);
  }

  async #cancelTimer({ run }: CommandBatch, { timer }: Of<'timer.cancel'>): Promise<void> {
    const subject = timerSubject(run.workflow, run.runId, timer);
    try {
      await this.#jsm.streams.purge(STREAMS.timers, { filter: subject });
    } catch (error) {
      // A timer that fires after all finds that nobody waits for it.
      const { log, metrics } = this.#options.telemetry;
      log.debug({ ...run, timer, err: error }, `timer not cancelled: ${messageOf(error)}`);
      metrics.count('millrace_engine_hints_lost_total', { kind: 'timer.cancel' });
    }
  }

  async #cancelTask({ run }: CommandBatch, { kind: _kind, ...what }: Of<'task.cancel'>): Promise<void> {
    const body: CancelMessage = { v: 1, ...run, ...what };
    this.#nc.publish(cancelSubject(run.workflow, run.runId), JSON.stringify(body));
  }

  #event({ run, entry }: CommandBatch, command: Of<'event'>, index: number): Promise<void> {
    const { step, event, data } = command;
    const { workflow, runId } = run;
    const subject =
      step === undefined ? runEventSubject(workflow, runId, event) : stepEventSubject(workflow, runId, step, event);
    const extra = data !== null && typeof data === 'object' && !Array.isArray(data) ? data : {};
    const body = { ...extra, v: 1, ...run, ...(step === undefined ? {} : { step }), at: entry.at };
    const headers = { [HEADERS.msgId]: `evt:${workflow}:${runId}:${entry.seq}:${index}` };
    return this.#commit(STREAMS.events, subject, body, headers, `event ${event}`);
  }

  async #dead({ run, state }: CommandBatch, { error, source }: Of<'dead'>): Promise<void> {
    if (source === undefined) return;
    const { data, headers } = await startingMessage(this.#jsm, source, state);
    await this.deadLetter({
      kind: 'run',
      workflow: run.workflow,
      id: run.runId,
      runId: run.runId,
      code: error.code,
      reason: error.message,
      origin: source,
      data,
      headers,
    });
  }
}

function contextHeaders(
  trace: TraceHeaders | undefined,
  runId: string,
  step: string,
  attempt: number,
): Record<string, string> {
  return trace === undefined ? {} : headersOfContext(attemptContext(trace, runId, step, attempt));
}
