/**
 * Creates what is missing, touches nothing that exists. The simple path for tests and for a controller's start; `apply`
 * is the one that also changes and reports.
 */
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import type { Assets, ConsumerAsset, StreamAsset } from '../engine/index.ts';
import { DEFINITIONS_BUCKET } from '../kernel/index.ts';
import { BUCKET_OPTIONS } from './definitions.nats.ts';
import { API_ERRORS, asNats, unlessMissing } from './failure.nats.ts';

/** What {@link ensureAssets} created. */
export interface Ensured {
  readonly streams: readonly string[];
  /** `<stream>/<consumer>` */
  readonly consumers: readonly string[];
}

/** A stream asset as the client's API wants it (mutable arrays). */
export function streamConfig(asset: StreamAsset) {
  const { metadata, subjects, ...rest } = asset;
  return { ...rest, subjects: [...subjects], ...(metadata === undefined ? {} : { metadata: { ...metadata } }) };
}

/** A consumer asset as the client's API wants it. */
export function consumerConfig(asset: ConsumerAsset): Omit<ConsumerAsset, 'stream'> {
  const { stream: _, ...config } = asset;
  return config;
}

/**
 * Creates the streams, consumers and the definitions bucket that do not exist yet.
 * @throws MillraceError MR_NATS, MR_NATS_AUTH, MR_NATS_UNREACHABLE
 */
export async function ensureAssets(
  nc: NatsConnection,
  assets: Assets,
  options: { readonly replicas?: number } = {},
): Promise<Ensured> {
  const jsm = await asNats('reach JetStream', () => jetstreamManager(nc));
  const streams: string[] = [];
  const consumers: string[] = [];
  for (const stream of assets.streams) {
    const { name } = stream;
    const live = await unlessMissing(`look at stream ${name}`, [API_ERRORS.streamNotFound], () =>
      jsm.streams.info(name),
    );
    if (live !== undefined) continue;
    await asNats(`create stream ${name}`, () => jsm.streams.add(streamConfig(stream)));
    streams.push(name);
  }
  for (const consumer of assets.consumers) {
    const { stream, durable_name: name } = consumer;
    const live = await unlessMissing(`look at consumer ${stream}/${name}`, [API_ERRORS.consumerNotFound], () =>
      jsm.consumers.info(stream, name),
    );
    if (live !== undefined) continue;
    await asNats(`create consumer ${stream}/${name}`, () => jsm.consumers.add(stream, consumerConfig(consumer)));
    consumers.push(`${stream}/${name}`);
  }
  await asNats('create the definitions bucket', () =>
    new Kvm(nc).create(DEFINITIONS_BUCKET, { ...BUCKET_OPTIONS, replicas: options.replicas ?? 1 }),
  );
  return { streams, consumers };
}
