/** Hosts of one durable function on one broker in memory: gives the way to start its run `r` and to read its log. */
import { systemClock } from '../../src/drivers/index.ts';
import {
  fold,
  type LogEntry,
  MemoryBroker,
  MemoryJournal,
  type RunState,
  type Transition,
} from '../../src/engine/index.ts';
import {
  type Context,
  FunctionHost,
  type HostPorts,
  JournalFamily,
  processPorts,
  workflow,
} from '../../src/functions/index.ts';
import { type Json, MillraceError } from '../../src/kernel/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { waitFor } from './wait.ts';

const RUN = { workflow: 'fn', runId: 'r' };

export interface ServedHere {
  readonly keepResting?: number;
  /** Options of the function. */
  readonly options?: Omit<Parameters<typeof workflow>[1], 'input'>;
}

/** @param fits an entry that does not is too large for the journal */
export function functionsInMemory(fits: (entry: LogEntry) => boolean = () => true) {
  const broker = new MemoryBroker({ clock: systemClock });
  const outside = new MemoryJournal(broker, 'outside');
  const warned: string[] = [];
  /** Timers that were stored on the server, and called off there. */
  const timers: string[] = [];
  const hosts: FunctionHost[] = [];
  const log = { ...noTelemetry.log, warn: (_: object, message: string) => void warned.push(message) };
  let sent = 0;
  const serve = async (
    worker: string,
    run: (ctx: Context, input: never) => Promise<Json>,
    { keepResting = 100, options = {} }: ServedHere = {},
  ) => {
    const journal = new MemoryJournal(broker, worker);
    const append = journal.append.bind(journal);
    journal.append = async (run, entry, expectedLast) => {
      if (!fits(entry)) throw new MillraceError('MR_PAYLOAD_TOO_LARGE', 'too large', { next: 'terminal' });
      return append(run, entry, expectedLast);
    };
    const ports: HostPorts = {
      ...processPorts,
      telemetry: { ...noTelemetry, log },
      journal,
      family: new JournalFamily(journal, async () => 'd', processPorts.now),
      setTimer: async (_, timer) => void timers.push(timer),
      cancelTimer: (_, timer) => void timers.push(`-${timer}`),
      refuse: async () => {},
      notify: () => {},
      wake: ({ runId }) => {
        for (const host of hosts) host.wake(runId);
      },
    };
    const host = new FunctionHost(workflow('fn', options, run) as never, ports, { worker, keepResting });
    hosts.push(host);
    await journal.consume('fn', (delivery) => host.handle(delivery));
    return host;
  };
  const send = (body: object) => outside.send(RUN, { v: 1, ...body } as never, { msgId: `m${++sent}` });
  const read = () => outside.entries(RUN);
  const transitions = async (): Promise<Transition[]> => (await read()).flatMap((entry) => entry.transitions);
  const types = async () => (await read()).map((entry) => entry.transitions.map(({ type }) => type));
  const state = async (): Promise<RunState> => fold('fn', 'r', await read());
  const ends = () =>
    waitFor('the end', async () => {
      const now = await state();
      return now.status !== 'new' && now.status !== 'running' ? now : undefined;
    });
  const rests = () => waitFor('rest', async () => ((await state()).suspended === true ? true : undefined));
  /** Kills the host; what it held comes again. */
  const kill = (worker: string): void => {
    broker.kill(worker);
    broker.expireAckWait('fn');
  };
  return {
    broker,
    kill,
    serve,
    send,
    transitions,
    types,
    state,
    ends,
    rests,
    warned,
    timers,
    start: (payload: Json = null) => send({ kind: 'start', digest: 'd', payload }),
  };
}
