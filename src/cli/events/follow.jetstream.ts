/** Follows the streams that carry state changes, in the order of each stream, until it is told to stop. */
import { DeliverPolicy, JetStreamApiCodes, JetStreamApiError, type JsMsg } from '@nats-io/jetstream';
import { PREFECT_EVENTS_STREAM } from '../../bridge/index.ts';
import type { NatsDoor } from '../../drivers/index.ts';
import { MillraceError, messageOf, STREAMS } from '../../kernel/index.ts';
import { type EventKind, type StateChange, stateChangeOf } from './event.ts';

export interface FollowOptions {
  readonly door: NatsDoor;
  readonly kinds: ReadonlySet<EventKind>;
  /** ms since the epoch: begin with what was stored then; without it with what is stored from now on. */
  readonly since?: number | undefined;
  readonly signal: AbortSignal;
  readonly onChange: (change: StateChange) => void;
  /** Called once all streams are followed. */
  readonly onReady?: () => void;
}

const MILLRACE = ['run', 'step', 'flow', 'task'] as const;
const PREFECT = ['prefect.flow-run.>', 'prefect.task-run.>'];

interface Source {
  readonly stream: string;
  readonly subjects: string[];
}

async function sourcesOf({ door, kinds }: FollowOptions): Promise<readonly Source[]> {
  const ours = MILLRACE.filter((kind) => kinds.has(kind)).map((kind) => `evt.${kind}.>`);
  const wanted: Source[] = [
    ...(ours.length > 0 ? [{ stream: STREAMS.events, subjects: ours }] : []),
    ...(kinds.has('prefect') ? [{ stream: PREFECT_EVENTS_STREAM, subjects: PREFECT }] : []),
  ];
  const there = await Promise.all(wanted.map(async (source) => ((await exists(door, source.stream)) ? [source] : [])));
  return there.flat();
}

async function exists(door: NatsDoor, stream: string): Promise<boolean> {
  try {
    await door.jsm.streams.info(stream);
    return true;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound) return false;
    throw new MillraceError('MR_NATS', `stream ${stream} cannot be looked at: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Resolves when the signal aborts.
 * @returns the streams that were followed
 * @throws MillraceError MR_NATS when none of them is there
 */
export async function followEvents(options: FollowOptions): Promise<readonly string[]> {
  const { door, since, signal, onChange } = options;
  const sources = await sourcesOf(options);
  if (sources.length === 0) {
    throw new MillraceError('MR_NATS', 'there is no stream of such events', {
      hint: 'run a controller once (it creates MR_EVENTS); PREFECT_EVENTS comes with prefect_nats, see docs/prefect-nats.md',
      next: 'terminal',
    });
  }
  const following = sources.map(async ({ stream, subjects }) => {
    const consumer = await door.js.consumers.get(stream, {
      filter_subjects: subjects,
      ...(since === undefined
        ? { deliver_policy: DeliverPolicy.New }
        : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(since).toISOString() }),
    });
    const messages = await consumer.consume();
    const stop = (): void => void messages.close();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    return messages;
  });
  const all = await Promise.all(following);
  options.onReady?.();
  await Promise.all(
    all.map(async (messages) => {
      for await (const msg of messages) tell(msg, onChange);
    }),
  );
  return sources.map(({ stream }) => stream);
}

function tell(msg: JsMsg, onChange: (change: StateChange) => void): void {
  const storedAt = msg.info.timestampNanos / 1e6;
  const change = stateChangeOf(msg.subject, msg.seq, storedAt, msg.string());
  if (change !== undefined) onChange(change);
}
