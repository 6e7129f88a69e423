/** What should be, and what is: both as plain values that `plan.ts` compares. Pure. */
import { type Assets, type Definition, systemAssets, workflowAssets } from '../engine/index.ts';
import {
  ADVISORY_CONSUMER,
  CONTROLLER_CONSUMER,
  canonicalJson,
  type Json,
  type JsonObject,
  LIMIT_CONSUMER,
  SCHEDULE_CONSUMER,
  shortHash,
  TIMER_CONSUMER,
  workflowStream,
} from '../kernel/index.ts';

/** What the manifests ask for, with what Millrace needs around it. */
export interface Desired extends Assets {
  /** Replicas of the definitions bucket. */
  readonly replicas: number;
  readonly definitions: readonly Definition[];
}

/** Everything that should exist for these streams and workflows. System assets are always among it. */
export function desiredState(
  manifests: { readonly streams: Assets['streams']; readonly definitions: readonly Definition[] },
  replicas = 1,
): Desired {
  const system = systemAssets(replicas);
  const workflows = manifests.definitions.map((definition) => assetsOf(definition, replicas));
  return {
    streams: [...system.streams, ...manifests.streams, ...workflows.flatMap(({ streams }) => streams)],
    consumers: [...system.consumers, ...workflows.flatMap(({ consumers }) => consumers)],
    definitions: manifests.definitions,
    replicas,
  };
}

/** The consumer of a durable function's inputs is the workers': its ack wait is their lease. */
function assetsOf(definition: Definition, replicas: number): Assets {
  const { streams, consumers } = workflowAssets(definition, replicas);
  const theirs = definition.code === true ? workflowStream(definition.name) : undefined;
  return { streams, consumers: consumers.filter(({ stream }) => stream !== theirs) };
}

/** The live system, as the server describes it. */
export interface Live {
  readonly clustered: boolean;
  /** Configuration by name of every stream that is no bucket. */
  readonly streams: Readonly<Record<string, JsonObject>>;
  /** Configuration by `<stream>/<consumer>` of the consumers that plans speak of ({@link isPlanned}). */
  readonly consumers: Readonly<Record<string, JsonObject>>;
  readonly bucket: boolean;
  /** Current definitions by workflow; null: there is one, but it cannot be read. */
  readonly definitions: Readonly<Record<string, Definition | null>>;
}

/** Consumers of workers and flow hosts come and go with those; plans speak of the others of ours. */
export function isPlanned(consumer: string): boolean {
  return (
    consumer.startsWith('TRIG_') ||
    [CONTROLLER_CONSUMER, TIMER_CONSUMER, LIMIT_CONSUMER, ADVISORY_CONSUMER, SCHEDULE_CONSUMER].includes(consumer)
  );
}

export const STREAM_FIELDS = [
  'description',
  'subjects',
  'retention',
  'storage',
  'discard',
  'num_replicas',
  'max_age',
  'max_bytes',
  'duplicate_window',
  'allow_direct',
  'allow_atomic',
  'allow_msg_schedules',
  'allow_msg_ttl',
  'metadata',
] as const;

export const CONSUMER_FIELDS = [
  'description',
  'filter_subject',
  'ack_policy',
  'deliver_policy',
  'ack_wait',
  'max_deliver',
  'max_ack_pending',
] as const;

/** What the server leaves out when it is as by default. */
const DEFAULTS: Readonly<Record<string, Json>> = {
  description: '',
  subjects: [],
  max_age: 0,
  max_bytes: -1,
  allow_direct: false,
  allow_atomic: false,
  allow_msg_schedules: false,
  allow_msg_ttl: false,
  filter_subject: '',
  max_deliver: -1,
  metadata: {},
};

/** Metadata that Millrace sets; the server and others have theirs beside it. */
function ownMetadata(value: Json): Json {
  const entries = Object.entries(value ?? {}).filter(([key]) => key.startsWith('millrace.'));
  return Object.fromEntries(entries);
}

/** A field as it is compared: defaults filled in, order of subjects and foreign metadata left aside. */
export function fieldOf(config: JsonObject, field: string): Json {
  const value = config[field] ?? DEFAULTS[field] ?? null;
  if (field === 'subjects' && Array.isArray(value)) return [...value].sort();
  if (field === 'metadata') return ownMetadata(value);
  if (field === 'filter_subject' && value === '' && Array.isArray(config['filter_subjects'])) {
    return config['filter_subjects'].join(', ');
  }
  return value;
}

function view(config: JsonObject, fields: readonly string[]): JsonObject {
  return Object.fromEntries(fields.map((field) => [field, fieldOf(config, field)]));
}

/** 16 hex digits over all that a plan depends on: a plan is stale when they have changed. */
export function fingerprintOf(live: Live): string {
  const each = <T>(record: Readonly<Record<string, T>>, map: (value: T) => Json): JsonObject =>
    Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
  return shortHash(
    canonicalJson({
      clustered: live.clustered,
      streams: each(live.streams, (config) => view(config, STREAM_FIELDS)),
      consumers: each(live.consumers, (config) => view(config, CONSUMER_FIELDS)),
      bucket: live.bucket,
      definitions: each(live.definitions, (definition) => definition?.digest ?? null),
    }),
  );
}
