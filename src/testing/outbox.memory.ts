/** Where the commands of declared workflows go in memory: the same receivers as on JetStream, in one process. */
import {
  type ChildPorts,
  type CommandBatch,
  closeChild,
  type Outbox,
  type PlacedCommand,
  SimulatedCrash,
  startChild,
  tellParent,
} from '../engine/index.ts';
import { MillraceError } from '../kernel/index.ts';
import { headersOfContext } from '../telemetry/index.ts';
import { attemptKey } from '../worker/index.ts';
import type { Faults } from './faults.ts';
import type { MemoryServer } from './server.ts';

/** What an outbox needs of the process that it belongs to. */
export interface OutboxProcess {
  readonly isDead: () => boolean;
  readonly die: () => void;
  readonly journal: ChildPorts['journal'];
}

/** Asks for a look at the flow run of a Prefect step. */
export type Reconcile = (batch: CommandBatch, step: string, attempt: number) => void;

export function memoryOutbox(server: MemoryServer, faults: Faults, owner: OutboxProcess, reconcile: Reconcile): Outbox {
  const through = async (batch: CommandBatch, name: string, store: () => Promise<void>): Promise<void> => {
    if (owner.isDead()) throw new SimulatedCrash('the process is dead');
    for (const when of ['before', 'after'] as const) {
      const found = faults.strike({ at: `command.${when}`, ...batch.run, name });
      if (found?.do === 'crash') {
        owner.die();
        throw new SimulatedCrash(`died ${when} ${name}`);
      }
      if (found?.do === 'lost') throw new MillraceError('MR_NATS', `the answer to ${name} was lost`);
      if (when === 'before') await store();
    }
  };
  return {
    async send(batch) {
      for (const placed of batch.commands) {
        await through(batch, placed.command.kind, () => receive(server, owner, batch, placed, reconcile));
      }
    },
    async deadLetter(letter) {
      if (owner.isDead()) throw new SimulatedCrash('the process is dead');
      server.letter(letter);
    },
  };
}

async function receive(
  server: MemoryServer,
  { journal }: OutboxProcess,
  batch: CommandBatch,
  { command }: PlacedCommand,
  reconcile: Reconcile,
): Promise<void> {
  const { run, state } = batch;
  const ports: ChildPorts = { journal, definitions: server };
  switch (command.kind) {
    case 'task': {
      const { kind: _, queue, ...task } = command;
      const headers = state.trace === undefined ? {} : headersOfContext(state.trace);
      return server.tasks.store(queue, { v: 1, ...run, ...task }, headers);
    }
    case 'task.cancel':
      return server.tasks.cancel(attemptKey({ ...run, step: command.step, attempt: command.attempt }), command);
    case 'child':
      return startChild(ports, batch, command);
    case 'child.close':
      return closeChild(ports, batch, command);
    case 'parent':
      return tellParent(ports, batch, command);
    case 'index':
      return; // there is nothing to search in
    case 'reconcile':
      return reconcile(batch, command.step, command.attempt);
    case 'timer':
      return server.setTimer(run, command.timer, command.at);
    case 'timer.cancel':
      return server.cancelTimer(run, command.timer);
    case 'event':
      return server.event(run, command.step, command.event, command.data);
    case 'dead':
      return server.letter({ kind: 'run', ...run, code: command.error.code, reason: command.error.message });
    default:
      throw new MillraceError('MR_INTERNAL', `the test kit's outbox does not know the command ${command.kind}`);
  }
}
