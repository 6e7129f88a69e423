/** Durable functions on the memory journal, in real time: several functions, several hosts, kill at will. */
import { systemClock } from '../../src/drivers/index.ts';
import { fold, type InputBody, MemoryBroker, MemoryJournal, type RunState } from '../../src/engine/index.ts';
import {
  type Ending,
  FunctionHost,
  type HostOptions,
  type HostPorts,
  JournalFamily,
  processPorts,
  type ServedFunction,
} from '../../src/functions/index.ts';
import type { Json } from '../../src/kernel/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { waitFor } from './wait.ts';

export function functionsInMemory(ports: Partial<HostPorts> = {}) {
  const broker = new MemoryBroker({ clock: systemClock });
  const outside = new MemoryJournal(broker, 'outside');
  const warned: string[] = [];
  const told: { readonly inbox: string; readonly ending: Ending }[] = [];
  const hosts = new Map<string, FunctionHost[]>();
  let sent = 0;

  /** Serves the functions as a process of that name. */
  const serve = async (worker: string, fns: readonly ServedFunction[], options: Partial<HostOptions> = {}) => {
    const journal = new MemoryJournal(broker, worker);
    const all: HostPorts = {
      ...processPorts,
      telemetry: { ...noTelemetry, log: { ...noTelemetry.log, warn: (_, message) => void warned.push(message) } },
      journal,
      family: new JournalFamily(
        journal,
        async (workflow) => (hosts.has(workflow) ? `digest-${workflow}` : undefined),
        processPorts.now,
      ),
      setTimer: async ({ workflow, runId }, timer, at) => {
        processPorts.after(Math.max(0, at - Date.now()), () => {
          void outside.send({ workflow, runId }, { v: 1, kind: 'timer', timer }, { msgId: `${runId}:${timer}` });
        });
      },
      cancelTimer: () => {},
      refuse: async () => {},
      notify: (inbox, _, ending) => void told.push({ inbox, ending }),
      wake: ({ workflow, runId }) => {
        for (const host of hosts.get(workflow) ?? []) host.wake(runId);
      },
      ...ports,
    };
    const served: FunctionHost[] = [];
    for (const fn of fns) {
      const host = new FunctionHost(fn as never, all, { worker, ...options });
      hosts.set(fn.name, [...(hosts.get(fn.name) ?? []), host]);
      await journal.consume(fn.name, (delivery) => host.handle(delivery));
      served.push(host);
    }
    return served;
  };
  /** The process is gone, and the server knows it. */
  const kill = (worker: string): void => {
    broker.kill(worker);
    for (const workflow of hosts.keys()) broker.expireAckWait(workflow);
  };
  const send = (workflow: string, runId: string, body: Omit<InputBody, 'v'>) =>
    outside.send({ workflow, runId }, { v: 1, ...body } as InputBody, { msgId: `m${++sent}` });
  const start = (workflow: string, payload: Json = null, runId = 'r') =>
    send(workflow, runId, { kind: 'start', digest: 'd', payload } as never);
  const entries = (workflow: string, runId = 'r') => outside.entries({ workflow, runId });
  const state = async (workflow: string, runId = 'r'): Promise<RunState> =>
    fold(workflow, runId, await entries(workflow, runId));
  const types = async (workflow: string, runId = 'r'): Promise<string[]> =>
    (await entries(workflow, runId)).flatMap(({ transitions }) => transitions.map(({ type }) => type));
  /** The run's state, once it has ended. */
  const end = (workflow: string, runId = 'r'): Promise<RunState> =>
    waitFor(`the end of ${runId}`, async () => {
      const now = await state(workflow, runId);
      return now.status !== 'new' && now.status !== 'running' ? now : undefined;
    });
  /** Waits until the log has a transition of the type. */
  const until = (type: string, workflow: string, runId = 'r', times = 1): Promise<unknown> =>
    waitFor(`${type} of ${runId}`, async () => {
      const found = (await types(workflow, runId)).filter((one) => one === type);
      return found.length >= times ? true : undefined;
    });
  return { broker, outside, warned, told, serve, kill, send, start, entries, state, types, end, until };
}
