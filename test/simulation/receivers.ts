/** Where commands arrive: queues and schedules that remember message ids as long as the server does, and what was sent. */

import { type Command, SimulatedCrash } from '../../src/engine/index.ts';
import type { CommandBatch, DeadLetter, Outbox } from '../../src/engine/run/ports.ts';
import { MillraceError } from '../../src/kernel/index.ts';
import type { Gate } from './gate.ts';

type TaskCommand = Extract<Command, { kind: 'task' }>;

export interface Task {
  readonly runId: string;
  readonly command: TaskCommand;
  deliveries: number;
  /** What the worker that holds it has done; undefined while nobody holds it. */
  phase: 'taken' | 'begun' | 'done' | undefined;
  begunAt: number;
}

/** A key of the reconcile queue. */
export interface FlowKey {
  readonly runId: string;
  readonly step: string;
  readonly attempt: number;
}

/** A child run as its parent knows it; what happens in it is not played. */
export interface Child {
  readonly runId: string;
  readonly command: Extract<Command, { kind: 'child' }>;
  phase: 'running' | 'closed' | 'ended';
}

const WINDOW_MS = 120_000;

export class Receivers {
  readonly #now: () => number;
  readonly #ids = new Map<string, number>();
  readonly tasks: Task[] = [];
  /** Every task that was ever stored. */
  readonly handedOut: Task[] = [];
  readonly timers = new Map<string, { readonly runId: string; readonly timer: string; readonly at: number }>();
  readonly keys: FlowKey[] = [];
  /** By their ids. */
  readonly children = new Map<string, Child>();
  /** Ends told to parents, by the ids of their messages. */
  readonly told = new Map<string, string>();
  /** Ids of the events and dead letters that were stored. */
  readonly events = new Set<string>();
  readonly letters: DeadLetter[] = [];
  readonly deadRuns = new Set<string>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** True when the id is new inside the window. */
  #fresh(id: string): boolean {
    const known = this.#ids.get(id);
    if (known !== undefined && this.#now() - known < WINDOW_MS) return false;
    this.#ids.set(id, this.#now());
    return true;
  }

  store(batch: CommandBatch, { index, command }: CommandBatch['commands'][number]): void {
    const { runId } = batch.run;
    switch (command.kind) {
      case 'task': {
        if (!this.#fresh(`task:${runId}:${command.step}:${command.attempt}`)) return;
        const task: Task = { runId, command, deliveries: 0, phase: undefined, begunAt: 0 };
        this.tasks.push(task);
        this.handedOut.push(task);
        return;
      }
      case 'timer':
        this.timers.set(`${runId}/${command.timer}`, { runId, timer: command.timer, at: command.at });
        return;
      case 'timer.cancel':
        this.timers.delete(`${runId}/${command.timer}`);
        return;
      case 'reconcile':
        this.keys.push({ runId, step: command.step, attempt: command.attempt });
        return;
      case 'child': {
        const { runId: id } = command.child;
        if (!this.children.has(id)) this.children.set(id, { runId, command, phase: 'running' });
        return;
      }
      case 'child.close': {
        const child = this.children.get(command.child.runId);
        if (child?.phase === 'running') child.phase = 'closed';
        return;
      }
      case 'parent':
        this.told.set(`${runId}:${batch.entry.seq}`, JSON.stringify(command));
        return;
      case 'event':
        this.events.add(`evt:${runId}:${batch.entry.seq}:${index}`);
        return;
      case 'dead':
        this.deadRuns.add(runId);
        return;
      default:
        return; // a cancel is a hint to whoever listens
    }
  }
}

export interface OutboxFaults {
  /** `crash`: the client dies before this command; `lost`: it is stored, or not, and nobody knows. */
  strike(client: string): 'none' | 'crash' | 'lost-before' | 'lost-after';
}

/** An outbox whose every command may be the last. */
export function simulatedOutbox(
  receivers: Receivers,
  gate: Gate,
  client: string,
  isDead: () => boolean,
  faults: OutboxFaults,
): Outbox {
  const strikeAt = async (what: string, store: () => void): Promise<void> => {
    const fault = faults.strike(client);
    if (isDead() || fault === 'crash') throw new SimulatedCrash(`${client} died at ${what}`);
    if (fault !== 'lost-before') store();
    if (fault !== 'none')
      throw new MillraceError('MR_NATS', `the answer to ${what} was lost`, { hint: 'a simulated fault' });
  };
  const strike = (what: string, store: () => void): Promise<void> =>
    gate.through(client, what, () => strikeAt(what, store));
  return {
    async send(batch) {
      for (const command of batch.commands) await strike(command.command.kind, () => receivers.store(batch, command));
    },
    async deadLetter(letter) {
      await strike('dead letter', () => receivers.letters.push(letter));
    },
  };
}
