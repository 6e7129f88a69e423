/** Where the time of one run went, on its way from the message to the running flow: read from the streams afterwards. */
import type { NatsDoor } from '../src/drivers/index.ts';
import { dispatchMessageSchema, inputBodySchema } from '../src/engine/index.ts';
import { dispatchSubject, parseRunSubject, workflowStream } from '../src/kernel/index.ts';
import { SOURCE_STREAM, type StateAt, WORKFLOW } from './prefect-world.ts';

/** The points of one run, each in ms since the epoch; JetStream's and Prefect's clocks are this machine's. */
export interface Points {
  /** The message was stored. */
  readonly message: number;
  /** The run's start input was stored. */
  readonly start: number;
  /** The log entry that wants the flow run was stored. */
  readonly entry: number;
  /** Prefect made the flow run's first state. */
  readonly created: number;
  /** The dispatch came by. */
  readonly dispatched: number;
  /** Prefect gave it to a host (PENDING). */
  readonly claimed: number;
  /** Prefect's server made the RUNNING state. */
  readonly running: number;
  /** The run's input that tells of RUNNING was stored. */
  readonly told: number;
}

/** What follows what; the points between which the time is shown. */
export const STAGES: readonly (readonly [keyof Points, keyof Points, string])[] = [
  ['message', 'start', 'message stored → start input stored'],
  ['start', 'entry', 'start input → log entry'],
  ['entry', 'created', 'log entry → flow run made in Prefect'],
  ['created', 'dispatched', 'flow run made → dispatch published'],
  ['dispatched', 'claimed', 'dispatch → claimed (PENDING)'],
  ['claimed', 'running', 'claimed → Running'],
  ['running', 'told', 'Running → its input stored'],
];

const msOf = (nanos: bigint | number): number => Number(BigInt(nanos) / 1_000n) / 1_000;

/** Notes when dispatches come by. */
export class DispatchWatch {
  readonly #at = new Map<string, number>();
  readonly #stop: () => void;

  constructor(door: NatsDoor) {
    const subscription = door.nc.subscribe(dispatchSubject('default'), {
      callback: (_error, message) => {
        const at = performance.timeOrigin + performance.now();
        const parsed = dispatchMessageSchema.safeParse(message.json());
        if (parsed.success && !this.#at.has(parsed.data.flowRunId)) this.#at.set(parsed.data.flowRunId, at);
      },
    });
    this.#stop = () => subscription.unsubscribe();
  }

  at(flowRunId: string): number {
    return this.#at.get(flowRunId) ?? Number.NaN;
  }

  stop(): void {
    this.#stop();
  }
}

interface Draft {
  message: number;
  start: number;
  entry: number;
  told: number;
  flowRunId: string;
}

/** Runs that these messages started, by the messages' sequences, as far as the stream tells of their RUNNING. */
async function draftsOf(door: NatsDoor, sequences: ReadonlySet<number>): Promise<Draft[]> {
  const stream = workflowStream(WORKFLOW);
  const { state } = await door.jsm.streams.info(stream);
  const drafts = new Map<string, Partial<Draft>>();
  if (state.messages === 0) return [];
  const consumer = await door.js.consumers.get(stream, {});
  for await (const message of await consumer.fetch({ max_messages: state.messages, expires: 5_000 })) {
    const place = parseRunSubject(message.subject);
    const runId = place?.runId ?? '';
    const at = msOf(message.timestampNanos);
    const draft = drafts.get(runId);
    if (place?.side === 'log') {
      if (draft !== undefined) draft.entry ??= at;
    } else {
      const body = inputBodySchema.parse(message.json());
      if (body.kind === 'start' && sequences.has(body.source?.sequence ?? -1)) {
        drafts.set(runId, { start: at, message: await storedAt(door, body.source?.sequence ?? 0) });
      } else if (body.kind === 'flow' && body.state.type === 'RUNNING' && draft !== undefined) {
        draft.told ??= at;
        draft.flowRunId = body.flowRunId;
      }
    }
    if (message.seq >= state.last_seq) break;
  }
  return [...drafts.values()].flatMap(({ message, start, entry, told, flowRunId }) =>
    message === undefined || start === undefined || entry === undefined || told === undefined || flowRunId === undefined
      ? []
      : [{ message, start, entry, told, flowRunId }],
  );
}

async function storedAt(door: NatsDoor, seq: number): Promise<number> {
  const message = await door.jsm.streams.getMessage(SOURCE_STREAM, { seq });
  if (message === null) throw new Error(`message ${seq} of ${SOURCE_STREAM} is gone`);
  return preciseMs(message.timestamp);
}

/** ms of an RFC 3339 time; Date.parse would cut off what is finer. */
export function preciseMs(timestamp: string): number {
  const finer = /\.\d{3}(\d+)/.exec(timestamp)?.[1] ?? '0';
  return Date.parse(timestamp) + Number(`0.${finer}`);
}

const first = (states: readonly StateAt[], type: string): number =>
  states.find((state) => state.type === type)?.at ?? Number.NaN;

/**
 * The points of the runs that these messages started, once all of them are told to run.
 * @param statesOf waits for the flow run's end
 */
export async function pointsOf(
  door: NatsDoor,
  sequences: ReadonlySet<number>,
  dispatches: DispatchWatch,
  statesOf: (flowRunId: string) => Promise<readonly StateAt[]>,
): Promise<Points[]> {
  const drafts = await draftsOf(door, sequences);
  const points: Points[] = [];
  for (const { flowRunId, ...draft } of drafts) {
    const states = await statesOf(flowRunId);
    points.push({
      ...draft,
      created: states[0]?.at ?? Number.NaN,
      dispatched: dispatches.at(flowRunId),
      claimed: first(states, 'PENDING'),
      running: first(states, 'RUNNING'),
    });
  }
  return points;
}
