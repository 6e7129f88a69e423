/** What the server will not do, and what it will do that hurts. Pure. */
import type { Json } from '../kernel/index.ts';
import type { FieldChange } from './diff.ts';
import { durationText } from './duration-text.ts';
import { type Desired, fieldOf, type Live } from './live.ts';
import type { Problem } from './problem.ts';
import { covers, overlaps } from './subject-match.ts';

interface Update {
  readonly name: string;
  readonly diff: readonly FieldChange[];
}

function problem(severity: 'error' | 'warning', rule: string, path: string, message: string, hint: string): Problem {
  const code = severity === 'error' ? 'MR_PLAN_IMPOSSIBLE' : 'MR_PLAN_DATA_LOSS';
  return { severity, code, rule, message, hint, place: { path } };
}

const show = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Why the server refuses this change of a stream; undefined when it does not. */
function refusal({ field, from, to }: FieldChange): string | undefined {
  switch (field) {
    case 'storage':
      return 'the storage of a stream is fixed when it is created';
    case 'retention':
      // limits and interest may become each other; a work queue is one for life
      return [from, to].includes('workqueue') ? 'a stream cannot become, or stop being, a work queue' : undefined;
    case 'allow_msg_schedules':
      return to === false ? 'message schedules cannot be turned off again' : undefined;
    case 'allow_msg_ttl':
      return to === false ? 'message TTLs cannot be turned off again' : undefined;
    default:
      return undefined;
  }
}

/** Changes of a stream that the server refuses. */
export function impossibleStream({ name, diff }: Update): readonly Problem[] {
  return diff.flatMap((change) => {
    const why = refusal(change);
    if (why === undefined) return [];
    const message = `stream ${name} has ${change.field} ${show(change.from)}, the manifest says ${show(change.to)}: ${why}`;
    const hint = `keep ${change.field}: ${show(change.from)}, or describe a stream under another name and move its readers; deleting ${name} (nats stream rm ${name}) loses its messages`;
    return [problem('error', 'impossible-change', `streams.${name}.${change.field}`, message, hint)];
  });
}

/** Changes of a consumer that the server refuses. */
export function impossibleConsumer({ name, diff }: Update): readonly Problem[] {
  return diff
    .filter(({ field }) => field === 'ack_policy' || field === 'deliver_policy')
    .map(({ field, from, to }) => {
      const message = `consumer ${name} has ${field} ${show(from)} instead of ${show(to)}: that is fixed when it is created`;
      const [stream, consumer] = name.split('/');
      const hint = `somebody else made it; delete it (nats consumer rm ${stream} ${consumer}) and apply again: it will read the stream from its start`;
      return problem('error', 'impossible-change', `consumers.${name}.${field}`, message, hint);
    });
}

/** Runs of one kind mean nothing to what executes the other. */
export function impossibleKind(desired: Desired, live: Live): readonly Problem[] {
  return desired.definitions.flatMap(({ name, code = false }) => {
    const found = live.definitions[name];
    if (found === undefined || found === null || (found.code ?? false) === code) return [];
    const kinds = ['a declared workflow', 'a durable function'] as const;
    const [is, says] = code ? kinds : [kinds[1], kinds[0]];
    const message = `${name} is ${is} and has its runs, the manifest says it is ${says}`;
    const hint = 'give one of the two another name';
    return [problem('error', 'impossible-change', `workflows.${name}.kind`, message, hint)];
  });
}

const nanos = (value: Json): string => (value === 0 ? 'for ever' : durationText(Number(value) / 1e6));

/** Changes of a stream after which messages are gone or no longer stored. */
export function dataLoss({ name, diff }: Update): readonly Problem[] {
  const warn = (field: string, message: string, hint: string): Problem =>
    problem('warning', 'data-loss', `streams.${name}.${field}`, message, hint);
  return diff.flatMap(({ field, from, to }): readonly Problem[] => {
    const [before, after] = [Number(from), Number(to)];
    if (field === 'max_age' && after > 0 && (before === 0 || after < before)) {
      const message = `stream ${name} will keep messages ${nanos(to)} instead of ${nanos(from)}`;
      return [warn(field, message, 'older ones are deleted as soon as this is applied')];
    }
    if (field === 'max_bytes' && after > 0 && (before <= 0 || after < before)) {
      const message = `stream ${name} will keep at most ${after} bytes instead of ${before <= 0 ? 'any number' : before}`;
      return [warn(field, message, 'the oldest messages beyond that are deleted as soon as this is applied')];
    }
    if (field === 'subjects' && Array.isArray(from) && Array.isArray(to)) {
      const gone = from.filter((old) => !to.some((subject) => covers(String(subject), String(old))));
      if (gone.length === 0) return [];
      const message = `stream ${name} will no longer store ${gone.join(', ')}`;
      return [warn(field, message, 'publishers to it then get "no responders"; its stored messages stay')];
    }
    return [];
  });
}

function subjectsOf(live: Live, stream: string): readonly string[] {
  const subjects = fieldOf(live.streams[stream] ?? {}, 'subjects');
  return Array.isArray(subjects) ? subjects.map(String) : [];
}

/** Subjects that a stream outside the manifests stores already, and more replicas than there are servers. */
export function subjectConflicts(desired: Desired, live: Live): readonly Problem[] {
  const ours = new Set(desired.streams.map(({ name }) => name));
  const others = Object.keys(live.streams).filter((name) => !ours.has(name));
  return desired.streams.flatMap((stream) => {
    const found: Problem[] = [];
    const path = `streams.${stream.name}`;
    if (stream.num_replicas > 1 && !live.clustered) {
      const message = `stream ${stream.name} asks for ${stream.num_replicas} replicas, but the server is not part of a cluster`;
      found.push(
        problem('error', 'replicas', `${path}.num_replicas`, message, 'use replicas: 1, or connect to a cluster'),
      );
    }
    for (const other of others) {
      const both = stream.subjects.find((one) => subjectsOf(live, other).some((two) => overlaps(one, two)));
      if (both === undefined) continue;
      const message = `stream ${other} on the server already stores messages on "${both}", which stream ${stream.name} asks for`;
      const hint = `a message may be stored by one stream only; describe ${other} in a manifest instead, or change one of the two`;
      found.push(problem('error', 'subject-conflict', `${path}.subjects`, message, hint));
    }
    return found;
  });
}

/** Consumers on streams that neither exist nor are about to. */
export function missingStreams(desired: Desired, live: Live): readonly Problem[] {
  const known = new Set([...desired.streams.map(({ name }) => name), ...Object.keys(live.streams)]);
  return desired.consumers
    .filter(({ stream }) => !known.has(stream))
    .map(({ stream, durable_name, description }) =>
      problem(
        'error',
        'missing-stream',
        `consumers.${stream}/${durable_name}`,
        `there is no stream ${stream} for consumer ${durable_name} (${description})`,
        'add a Stream manifest for it, or create it on the server first',
      ),
    );
}
