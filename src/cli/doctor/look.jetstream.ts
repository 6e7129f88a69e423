/** Looks at the NATS server: what a client can see, and with a monitoring address what only the server knows. */
import type { ConsumerInfo, StreamInfo } from '@nats-io/jetstream';
import type { NatsDoor } from '../../drivers/index.ts';
import { isObject, messageOf } from '../../kernel/index.ts';
import type { DefinitionStore } from '../../manifests/index.ts';
import type { ConsumerFact, NatsFacts, StreamFact, SyncFact } from './facts.ts';

const MONITOR_MS = 3_000;
const NANOS = 1e6;

function streamFact({ config, state, cluster }: StreamInfo): StreamFact {
  const peers = cluster?.replicas ?? [];
  return {
    name: config.name,
    replicas: config.num_replicas,
    messages: state.messages,
    bytes: state.bytes,
    lagging: peers.filter((peer) => !peer.current || peer.offline === true).map((peer) => peer.name),
  };
}

function consumerFact(info: ConsumerInfo): ConsumerFact {
  return {
    stream: info.stream_name,
    name: info.name,
    pending: info.num_pending,
    ackPending: info.num_ack_pending,
    maxAckPending: info.config.max_ack_pending ?? 0,
    redelivered: info.num_redelivered,
    waiting: info.num_waiting,
  };
}

/**
 * The sync setting from the server's monitoring page; JetStream's own API does not tell it.
 * @param serverId of the server we are connected to: another server's answer would be worth nothing
 */
export async function lookAtSync(monitorUrl: string | undefined, serverId: string): Promise<SyncFact> {
  if (monitorUrl === undefined) return { kind: 'unknown', why: 'no monitoring address is set' };
  try {
    const response = await fetch(`${monitorUrl}/varz`, { signal: AbortSignal.timeout(MONITOR_MS) });
    const varz: unknown = await response.json();
    if (!isObject(varz)) return { kind: 'unknown', why: `${monitorUrl} does not answer as a NATS server does` };
    if (varz['server_id'] !== serverId) return { kind: 'unknown', why: `${monitorUrl} belongs to another server` };
    const config = isObject(varz['jetstream']) ? varz['jetstream']['config'] : undefined;
    if (!isObject(config)) return { kind: 'unknown', why: `${monitorUrl} does not show JetStream's configuration` };
    if (config['sync_always'] === true) return { kind: 'always' };
    return { kind: 'every', ms: Number(config['sync_interval'] ?? 0) / NANOS };
  } catch (error) {
    return { kind: 'unknown', why: `${monitorUrl} does not answer (${messageOf(error)})` };
  }
}

/** @throws what the client throws when the server goes away meanwhile */
export async function lookAtNats(
  door: NatsDoor,
  definitions: DefinitionStore,
  monitorUrl: string | undefined,
): Promise<NatsFacts> {
  const { info } = door.nc;
  const rttMs = await door.nc.rtt();
  const streams: StreamFact[] = [];
  const consumers: ConsumerFact[] = [];
  for await (const stream of door.jsm.streams.list()) {
    streams.push(streamFact(stream));
    if (stream.state.consumer_count === 0) continue;
    for await (const consumer of door.jsm.consumers.list(stream.config.name)) {
      if (consumer.config.durable_name !== undefined) consumers.push(consumerFact(consumer));
    }
  }
  const [first] = streams;
  const skewMs = first === undefined ? undefined : await lookAtClock(door, first.name);
  return {
    url: door.url,
    version: info?.version ?? '?',
    name: info?.server_name ?? '?',
    ...(info?.cluster === undefined ? {} : { cluster: info.cluster }),
    rttMs,
    maxPayload: info?.max_payload ?? 0,
    ...(skewMs === undefined ? {} : { skewMs }),
    sync: await lookAtSync(monitorUrl, info?.server_id ?? ''),
    streams,
    consumers,
    definitions: await definitions.list(),
  };
}

/** The server writes its time into what it tells of a stream; half the way there and back is the best guess of "then". */
async function lookAtClock(door: NatsDoor, stream: string): Promise<number | undefined> {
  const before = Date.now();
  const { ts } = await door.jsm.streams.info(stream);
  const after = Date.now();
  const server = typeof ts === 'string' ? Date.parse(ts) : Number.NaN;
  return Number.isNaN(server) ? undefined : Math.round(server - (before + after) / 2);
}
