/** A controller in small and a flow host in small, so that the bridge is tested against real servers and nothing else. */
import type { ConsumerMessages } from '@nats-io/jetstream';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import {
  type Consumption,
  type Definition,
  type DispatchMessage,
  decide,
  dispatchMessageSchema,
  fold,
  inputBodySchema,
  type Journal,
  openJournal,
  type ReconcileQueue,
  type RunState,
  react,
  systemAssets,
  workflowAssets,
} from '../../src/engine/index.ts';
import { hostConsumer, isMillraceError, STREAMS } from '../../src/kernel/index.ts';
import { type DefinitionStore, ensureAssets, openDefinitions, sealDefinition } from '../../src/manifests/index.ts';

export const POOL = 'default';

export function workflow(
  name: string,
  deployment: string,
  more: Partial<Definition['steps'][number]> = {},
): Definition {
  const retry = { maxAttempts: 1, maxLost: 0, initialMs: 100, factor: 1, maxMs: 100, jitter: 0 };
  return sealDefinition({
    name,
    deadLetter: false,
    triggers: [],
    steps: [{ name: 'compute', needs: [], action: { kind: 'prefect', deployment, pool: POOL }, retry, ...more }],
  });
}

export interface SmallSystem {
  readonly door: NatsDoor;
  readonly journal: Journal;
  readonly definitions: DefinitionStore;
  /** Applies the definition and decides its runs' inputs from now on. */
  deploy(definition: Definition): Promise<void>;
  /** Where reconcile commands go; a failure is ignored, as the engine's outbox does. */
  queue: Pick<ReconcileQueue, 'enqueue'> | undefined;
  start(definition: Definition, runId: string, payload: string): Promise<void>;
  state(definition: Definition, runId: string): Promise<RunState>;
  /** The run's state once it is as wanted; fails after the deadline with what it is instead. */
  until(definition: Definition, runId: string, wanted: (state: RunState) => boolean): Promise<RunState>;
  close(): Promise<void>;
}

export async function openSystem(url: string): Promise<SmallSystem> {
  const door = await connectNats({ url, name: 'bridge-test' });
  await ensureAssets(door.nc, systemAssets());
  const definitions = await openDefinitions(door.nc);
  const journal = openJournal(door);
  const consumptions: Consumption[] = [];
  const system: SmallSystem = {
    door,
    journal,
    definitions,
    queue: undefined,
    async deploy(definition) {
      await ensureAssets(door.nc, workflowAssets(definition));
      await definitions.put(definition);
      const handle = async (run: { workflow: string; runId: string }): Promise<void> => {
        for (const key of await decideAll(journal, definition, run.runId)) {
          await system.queue?.enqueue(key).catch(() => undefined);
        }
      };
      const consumption = await journal.consume(
        definition.name,
        async (delivery) => {
          try {
            await handle(delivery.run);
            delivery.ack();
          } catch {
            delivery.nak(100); // a server is away
          }
        },
        { maxInFlight: 1 },
      );
      consumptions.push(consumption);
    },
    async start(definition, runId, payload) {
      const trace = { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };
      const body = { v: 1 as const, kind: 'start' as const, digest: definition.digest, payload, trace };
      await journal.send({ workflow: definition.name, runId }, body, { msgId: `start:${runId}` });
    },
    async state(definition, runId) {
      return fold(definition.name, runId, await journal.entries({ workflow: definition.name, runId }));
    },
    async until(definition, runId, wanted) {
      return poll(() => system.state(definition, runId), wanted);
    },
    async close() {
      await Promise.all(consumptions.map((consumption) => consumption.stop()));
      journal.close();
      await door.close();
    },
  };
  return system;
}

/** Decides what is undecided; gives the keys of the reconcile commands. */
async function decideAll(journal: Journal, definition: Definition, runId: string) {
  const run = { workflow: definition.name, runId };
  const keys = [];
  for (;;) {
    const state = fold(run.workflow, runId, await journal.entries(run));
    const [input] = await journal.inputsBetween(run, state.lastInput, Number.MAX_SAFE_INTEGER);
    if (input === undefined) return keys;
    const body = inputBodySchema.parse(JSON.parse(new TextDecoder().decode(input.data)));
    const transitions = decide(definition, state, { seq: input.seq, at: input.at, body });
    const entry = { v: 1 as const, cause: input.seq, at: input.at, transitions };
    await journal.append(run, entry, state.lastEntry);
    for (const command of react(definition, state, entry)) {
      if (command.kind === 'reconcile') keys.push({ ...run, step: command.step, attempt: command.attempt });
    }
  }
}

/** Looks until it is as wanted, also through outages. The servers offer no event for "the fold now says so". */
export async function poll<T>(look: () => Promise<T>, wanted: (value: T) => boolean, ms = 60_000): Promise<T> {
  for (const deadline = Date.now() + ms; ; ) {
    let seen: unknown;
    try {
      const value = await look();
      if (wanted(value)) return value;
      seen = value;
    } catch (error) {
      if (!isMillraceError(error) || error.next !== 'retry') throw error;
      seen = error.message;
    }
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(seen)} after ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** SQLite that is busy is a 503 of Prefect's; its own client tries again, too. */
async function post(url: string, body: object): Promise<{ id: string }> {
  const send = () =>
    fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const response = await poll(send, ({ status }) => status !== 503);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return (await response.json()) as { id: string };
}

export async function createDeployment(prefectUrl: string, flow: string, name: string): Promise<void> {
  const { id } = await post(`${prefectUrl}/flows/`, { name: flow });
  await post(`${prefectUrl}/deployments/`, { name, flow_id: id, entrypoint: 'delays.py:delays' });
}

/** Dispatches as a flow host sees them; the test decides what becomes of each. */
export interface SmallHost {
  readonly dispatches: DispatchMessage[];
  /** Acknowledges the dispatch of that flow run. */
  ack(flowRunId: string): void;
  stop(): Promise<void>;
}

export async function openHost(door: NatsDoor): Promise<SmallHost> {
  await door.jsm.consumers.add(STREAMS.flows, {
    durable_name: hostConsumer(POOL),
    filter_subject: `flow.dispatch.${POOL}`,
    ack_policy: 'explicit',
    ack_wait: 300_000_000_000,
  });
  const consumer = await door.js.consumers.get(STREAMS.flows, hostConsumer(POOL));
  const messages: ConsumerMessages = await consumer.consume();
  const dispatches: DispatchMessage[] = [];
  const acks = new Map<string, (() => void)[]>();
  const reading = (async () => {
    for await (const message of messages) {
      const dispatch = dispatchMessageSchema.parse(message.json());
      dispatches.push(dispatch);
      acks.set(dispatch.flowRunId, [...(acks.get(dispatch.flowRunId) ?? []), () => message.ack()]);
    }
  })();
  return {
    dispatches,
    ack: (flowRunId) => acks.get(flowRunId)?.forEach((ack) => void ack()),
    async stop() {
      messages.stop();
      await reading;
    },
  };
}
