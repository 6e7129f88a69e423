/** Looks at the live system: streams, consumers, bucket, definitions. Reads only. */
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from 'nats';
import type { Definition } from '../engine/index.ts';
import { DEFINITIONS_BUCKET, isMillraceError, isObject, type Json, type JsonObject } from '../kernel/index.ts';
import { type DefinitionStore, openDefinitions } from './definitions.nats.ts';
import { API_ERRORS, asNats, unlessMissing } from './failure.nats.ts';
import { isPlanned, type Live } from './live.ts';

const isBucket = (stream: string): boolean => /^(KV|OBJ)_/.test(stream);

/** A configuration as the client gives it, as JSON (it comes from JSON and has no other members). */
function plain(config: object): JsonObject {
  const value: unknown = JSON.parse(JSON.stringify(config));
  return isObject(value) ? (value as Record<string, Json>) : {};
}

async function definitionsOf(store: DefinitionStore): Promise<Record<string, Definition | null>> {
  const found: Record<string, Definition | null> = {};
  for (const name of await store.names()) {
    try {
      const definition = await store.current(name);
      if (definition !== undefined) found[name] = definition;
    } catch (error) {
      if (!isMillraceError(error, 'MR_JOURNAL_CORRUPT')) throw error;
      found[name] = null;
    }
  }
  return found;
}

/**
 * The live system as it is now.
 * @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS
 */
export async function observe(nc: NatsConnection): Promise<Live> {
  const jsm = await asNats('reach JetStream', () => jetstreamManager(nc));
  const streams: Record<string, JsonObject> = {};
  const consumers: Record<string, JsonObject> = {};
  const read: string[] = [];
  let bucket = false;
  await asNats('list streams', async () => {
    for await (const { config, state } of jsm.streams.list()) {
      if (config.name === `KV_${DEFINITIONS_BUCKET}`) bucket = true;
      if (isBucket(config.name)) continue;
      streams[config.name] = plain(config);
      if (state.consumer_count > 0) read.push(config.name);
    }
  });
  for (const stream of read) {
    // The stream may be deleted while we look: then it has no consumers.
    await unlessMissing(`list consumers of ${stream}`, [API_ERRORS.streamNotFound], async () => {
      for await (const { name, config } of jsm.consumers.list(stream)) {
        if (isPlanned(name)) consumers[`${stream}/${name}`] = plain(config);
      }
    });
  }
  const definitions = await definitionsOf(await openDefinitions(nc));
  return { clustered: nc.info?.cluster !== undefined, streams, consumers, bucket, definitions };
}
