/**
 * The plan: what has to be done so that the live system becomes what the manifests say. Pure.
 *
 *   P1 a plan is a value: applying it makes no choices, whoever reads it knows what will happen;
 *   P2 a system that is as desired gives no actions;
 *   P3 what the server cannot change is a problem with advice, never an action that will fail;
 *   P4 nothing that holds messages is ever deleted; `prune` removes trigger consumers and current definitions only;
 *   P5 actions are in an order in which each finds what it needs: streams, consumers, bucket, definitions, removals.
 */
import type { ConsumerAsset, Definition, StreamAsset } from '../engine/index.ts';
import {
  CONTROLLER_CONSUMER,
  DEFINITIONS_BUCKET,
  type Json,
  type JsonObject,
  triggerConsumer,
  workflowStream,
} from '../kernel/index.ts';
import { diffJson, type FieldChange, same } from './diff.ts';
import { CONSUMER_FIELDS, type Desired, fieldOf, fingerprintOf, type Live, STREAM_FIELDS } from './live.ts';
import { MANAGED } from './normalize.ts';
import {
  dataLoss,
  impossibleConsumer,
  impossibleKind,
  impossibleStream,
  missingStreams,
  subjectConflicts,
} from './plan-limits.ts';
import type { Problem } from './problem.ts';
import { scheduleNotes } from './schedule-notes.ts';

interface ActionBase {
  /** Stream, `<stream>/<consumer>`, bucket or workflow. */
  readonly name: string;
  readonly diff: readonly FieldChange[];
}
export type Action =
  | (ActionBase & { readonly kind: 'create-stream' | 'update-stream'; readonly config: StreamAsset })
  | (ActionBase & { readonly kind: 'create-consumer' | 'update-consumer'; readonly config: ConsumerAsset })
  | (ActionBase & { readonly kind: 'create-bucket'; readonly replicas: number })
  | (ActionBase & {
      readonly kind: 'put-definition';
      readonly definition: Definition;
      readonly notes?: readonly string[];
    })
  | (ActionBase & { readonly kind: 'remove-definition'; readonly notes?: readonly string[] })
  | (ActionBase & { readonly kind: 'delete-consumer' });

/** Something of ours that exists although no manifest asks for it. */
export interface Drift {
  readonly kind: 'stream' | 'consumer' | 'definition';
  readonly name: string;
  /** What it means and what to do. */
  readonly note: string;
}

export interface Plan {
  readonly v: 1;
  readonly actions: readonly Action[];
  readonly drift: readonly Drift[];
  /** Errors make the plan impossible; warnings tell what it costs. */
  readonly problems: readonly Problem[];
  /** Of the live state it was made for. */
  readonly fingerprint: string;
}

const asJson = (value: object): JsonObject => value as JsonObject;

function changes(desired: JsonObject, live: JsonObject, fields: readonly string[]): readonly FieldChange[] {
  return fields.flatMap((field) => {
    if (desired[field] === undefined) return []; // not ours to say
    const from = fieldOf(live, field);
    const to = fieldOf(desired, field);
    return same(from, to) ? [] : [{ field, from, to }];
  });
}

/** The desired metadata beside what others have put there. */
function withForeignMetadata(asset: StreamAsset, live: JsonObject): StreamAsset {
  if (asset.metadata === undefined) return asset;
  const foreign = Object.entries(live['metadata'] ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && !entry[0].startsWith('millrace.'),
  );
  return { ...asset, metadata: { ...Object.fromEntries(foreign), ...asset.metadata } };
}

function streamActions(asset: StreamAsset, live: Live): readonly Action[] {
  const { name } = asset;
  const found = live.streams[name];
  if (found === undefined) return [{ kind: 'create-stream', name, diff: [], config: asset }];
  const diff = changes(asJson(asset), found, STREAM_FIELDS);
  return diff.length === 0 ? [] : [{ kind: 'update-stream', name, diff, config: withForeignMetadata(asset, found) }];
}

const consumerName = (asset: ConsumerAsset): string => `${asset.stream}/${asset.durable_name}`;

function consumerActions(asset: ConsumerAsset, live: Live): readonly Action[] {
  const name = consumerName(asset);
  const found = live.consumers[name];
  if (found === undefined) return [{ kind: 'create-consumer', name, diff: [], config: asset }];
  const diff = changes(asJson(asset), found, CONSUMER_FIELDS);
  return diff.length === 0 ? [] : [{ kind: 'update-consumer', name, diff, config: asset }];
}

function definitionActions(definition: Definition, live: Live): readonly Action[] {
  const { name } = definition;
  const found = live.definitions[name];
  if (found?.digest === definition.digest) return [];
  const unreadable: readonly FieldChange[] =
    found === null ? [{ field: 'digest', from: 'unreadable', to: definition.digest }] : [];
  const diff = found === undefined || found === null ? unreadable : diffJson(asJson(found) as Json, asJson(definition));
  const notes = scheduleNotes(found ?? undefined, definition);
  return [{ kind: 'put-definition', name, diff, definition, ...(notes.length === 0 ? {} : { notes }) }];
}

function isManaged(config: JsonObject): boolean {
  const metadata = fieldOf(config, 'metadata');
  return metadata !== null && Object.hasOwn(asJson(Object(metadata)), MANAGED);
}

/**
 * Streams, consumers and definitions of durable functions: the workers that have their code put them there. Where a manifest
 * describes one, its triggers are the manifest's.
 */
function functionsOf(live: Live, described: ReadonlySet<string>): ReadonlySet<string> {
  const names = new Set<string>();
  for (const definition of Object.values(live.definitions)) {
    if (definition?.code !== true) continue;
    const { name, triggers } = definition;
    names.add(`${workflowStream(name)}/${CONTROLLER_CONSUMER}`);
    if (described.has(name)) continue;
    names.add(name).add(workflowStream(name));
    for (const trigger of triggers) names.add(`${trigger.stream}/${triggerConsumer(name, trigger.name)}`);
  }
  return names;
}

/** What exists of ours although no manifest asks for it. */
export function driftOf(desired: Desired, live: Live): readonly Drift[] {
  const streams = new Set(desired.streams.map((stream) => stream.name));
  const consumers = new Set(desired.consumers.map(consumerName));
  const workflows = new Set(desired.definitions.map((definition) => definition.name));
  const functions = functionsOf(live, workflows);
  const drift: Drift[] = [];
  for (const [name, config] of Object.entries(live.streams)) {
    if (streams.has(name) || functions.has(name) || !(name.startsWith('WF_') || isManaged(config))) continue;
    const note = name.startsWith('WF_')
      ? 'the runs of a workflow that no manifest describes; never deleted by apply'
      : 'a stream that no manifest describes; never deleted by apply, it holds messages';
    drift.push({ kind: 'stream', name, note });
  }
  for (const name of Object.keys(live.consumers)) {
    const [stream = '', consumer = ''] = name.split('/');
    if (consumers.has(name) || functions.has(name) || !(streams.has(stream) || consumer.startsWith('TRIG_'))) continue;
    drift.push({ kind: 'consumer', name, note: 'a trigger that no manifest describes; apply --prune deletes it' });
  }
  for (const name of Object.keys(live.definitions)) {
    if (workflows.has(name) || functions.has(name)) continue;
    drift.push({
      kind: 'definition',
      name,
      note: 'a workflow that no manifest describes; apply --prune stops new runs of it, those under way go on',
    });
  }
  return drift;
}

function removal(name: string, live: Live): Action {
  const notes = scheduleNotes(live.definitions[name] ?? undefined, undefined);
  return { kind: 'remove-definition', name, diff: [], ...(notes.length === 0 ? {} : { notes }) };
}

function pruneActions(drift: readonly Drift[], live: Live): readonly Action[] {
  const of = (kind: Drift['kind']) => drift.filter((entry) => entry.kind === kind);
  return [
    // The definition first: controllers then stop reading the trigger before its consumer goes.
    ...of('definition').map(({ name }) => removal(name, live)),
    ...of('consumer').map(({ name }): Action => ({ kind: 'delete-consumer', name, diff: [] })),
  ];
}

/** Compares what should be with what is. */
export function planChanges(desired: Desired, live: Live, options: { readonly prune?: boolean } = {}): Plan {
  const drift = driftOf(desired, live);
  const { replicas } = desired;
  const bucket: readonly Action[] = live.bucket
    ? []
    : [{ kind: 'create-bucket', name: DEFINITIONS_BUCKET, diff: [], replicas }];
  const actions = [
    ...desired.streams.flatMap((stream) => streamActions(stream, live)),
    ...desired.consumers.flatMap((consumer) => consumerActions(consumer, live)),
    ...bucket,
    ...desired.definitions.flatMap((definition) => definitionActions(definition, live)),
    ...(options.prune === true ? pruneActions(drift, live) : []),
  ];
  const problems = [
    ...actions.flatMap((action) => {
      if (action.kind === 'update-stream') return [...impossibleStream(action), ...dataLoss(action)];
      return action.kind === 'update-consumer' ? impossibleConsumer(action) : [];
    }),
    ...impossibleKind(desired, live),
    ...subjectConflicts(desired, live),
    ...missingStreams(desired, live),
  ];
  return { v: 1, actions, drift, problems, fingerprint: fingerprintOf(live) };
}
