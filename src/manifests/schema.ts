/** What a manifest may say. Strict: a field that is not listed is an error. Meaning is checked by `lint-rules/`. */
import { z } from 'zod';
import { isToken, tryParseDuration } from '../kernel/index.ts';
import { OVERLAPS } from '../schedules/index.ts';

export const API_VERSION = 'millrace/v1';
export const KINDS = ['Stream', 'Workflow', 'Function'] as const;

/** What a text of our own kind is, for messages; `placeholder` stands in for a bad one while the rest is judged. */
export interface Expectation {
  readonly rule: string;
  readonly expected: string;
  readonly hint: string;
  readonly placeholder: string;
}

const EXPECTATIONS = new Map<string, Expectation>();

/** The expectation that an issue of a text of our own kind carries, if it is one (its message names it). */
export function expectationOf(message: string): Expectation | undefined {
  return EXPECTATIONS.get(message);
}

function text(expectation: Expectation, accepts: (value: string) => boolean) {
  EXPECTATIONS.set(expectation.expected, expectation);
  const error = (): string => expectation.expected;
  return z.string({ error }).refine(accepts, { error });
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3,
  TIB: 1024 ** 4,
};

/** Bytes of a size such as `512KiB`, `10GB`, `1024`; undefined when it is none. */
export function tryParseSize(value: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]i?B|)$/i.exec(value);
  const unit = UNITS[(match?.[2] ?? '').toUpperCase()];
  return match === null || unit === undefined ? undefined : Math.round(Number(match[1]) * unit);
}

const DURATION_HINT = 'write a number and a unit, for example 250ms, 30s, 10m, 1h30m or 7d';
const duration = text(
  { rule: 'duration', expected: 'a duration', hint: DURATION_HINT, placeholder: '1s' },
  (value) => tryParseDuration(value) !== undefined,
);
const positiveDuration = text(
  { rule: 'duration', expected: 'a duration above zero', hint: DURATION_HINT, placeholder: '1s' },
  (value) => (tryParseDuration(value) ?? 0) > 0,
);
const name = text(
  {
    rule: 'name',
    expected: 'a name',
    hint: 'use letters, digits, "-" and "_", at most 64 characters: it becomes part of a subject',
    placeholder: '_invalid_',
  },
  isToken,
);
const expression = text(
  {
    rule: 'expression',
    expected: 'a CEL expression',
    hint: `write it as a text; a constant needs quotes as well, for example "5" or "'text'"`,
    placeholder: 'true',
  },
  (value) => value.trim() !== '',
);
const handler = text(
  {
    rule: 'name',
    expected: 'a handler name',
    hint: 'use names joined by dots, for example flights.validate, at most 64 characters',
    placeholder: '_invalid_',
  },
  (value) => isToken(value.replaceAll('.', '-')) && value.split('.').every(isToken),
);
const deployment = text(
  {
    rule: 'deployment',
    expected: 'a Prefect deployment',
    hint: 'write <flow>/<deployment>, as `prefect deployment ls` shows it',
    placeholder: '_/_',
  },
  (value) => /^[^/]+\/[^/]+$/.test(value),
);
const subject = text(
  {
    rule: 'subject',
    expected: 'a NATS subject',
    hint: 'use tokens joined by dots; "*" stands for one token, ">" at the end for the rest',
    placeholder: '_invalid_',
  },
  (value) => value.length <= 255 && /^(?:[^\s.*>]+|\*)(?:\.(?:[^\s.*>]+|\*))*(?:\.>)?$|^>$/.test(value),
);
const size = z.union([
  z.number().int().positive(),
  text(
    {
      rule: 'size',
      expected: 'a size',
      hint: 'write bytes or a number and a unit, for example 512MiB or 10GB',
      placeholder: '1GB',
    },
    (value) => (tryParseSize(value) ?? 0) > 0,
  ),
]);

const metadata = z.strictObject({
  name,
  description: z.string().max(4_000).optional(),
  labels: z.record(z.string().regex(/^[A-Za-z0-9._/-]{1,63}$/), z.string().max(255)).optional(),
});

const apiVersion = z.literal(API_VERSION);

export const streamSchema = z.strictObject({
  apiVersion,
  kind: z.literal('Stream'),
  metadata,
  spec: z.strictObject({
    subjects: z.array(subject).min(1),
    retention: z.enum(['limits', 'workqueue', 'interest']).default('limits'),
    storage: z.enum(['file', 'memory']).default('file'),
    discard: z.enum(['old', 'new']).default('old'),
    replicas: z.number().int().min(1).max(5).optional(),
    maxAge: positiveDuration.optional(),
    maxBytes: size.optional(),
    duplicateWindow: positiveDuration.optional(),
  }),
});

const retry = z.strictObject({
  /** 3; 1 of a child run, whose own steps are tried again. */
  maxAttempts: z.number().int().min(1).max(1_000).optional(),
  initial: duration.default('1s'),
  factor: z.number().min(1).max(100).default(2),
  max: duration.default('1m'),
  jitter: z.number().min(0).max(1).default(0.2),
  maxLost: z.number().int().min(0).max(1_000).default(10),
  maxElapsed: positiveDuration.optional(),
  nonRetryable: z.array(z.string().min(1).max(64)).min(1).max(100).optional(),
  onExhausted: z.enum(['fail', 'pause']).optional(),
});

const compensate = z.strictObject({
  run: z.strictObject({ worker: handler, queue: name.optional() }),
  with: z.record(z.string().min(1), expression).optional(),
  retry: retry.prefault({}),
  timeout: positiveDuration.optional(),
});

/** One of `worker`, `prefect`, `workflow`; a rule checks that, since a union of shapes gives errors nobody can read. */
const run = z.strictObject({
  worker: handler.optional(),
  queue: name.optional(),
  prefect: deployment.optional(),
  pool: name.optional(),
  workflow: name.optional(),
  onParentClose: z.enum(['cancel', 'abandon']).optional(),
  wait: z.boolean().optional(),
});

const waitForSignal = z.strictObject({
  name,
  timeout: positiveDuration.optional(),
  onTimeout: z.enum(['continue', 'fail']).optional(),
});

/** The step once for each item of a list. */
const forEach = z.strictObject({
  items: expression,
  maxParallel: z.number().int().min(1).max(1_000).default(10),
  onFailure: z.enum(['fail', 'collect']).default('fail'),
});

const step = z.strictObject({
  name,
  needs: z.array(name).default([]),
  when: expression.optional(),
  with: z.record(z.string().min(1), expression).optional(),
  run: run.optional(),
  sleep: duration.optional(),
  waitForSignal: waitForSignal.optional(),
  retry: retry.prefault({}),
  timeout: positiveDuration.optional(),
  queueTimeout: positiveDuration.optional(),
  heartbeatTimeout: positiveDuration.optional(),
  compensate: compensate.optional(),
  forEach: forEach.optional(),
});

/** One run of the last message, once it has been quiet for `wait`, or `max` after the first one. */
const debounce = z.strictObject({
  wait: positiveDuration,
  max: positiveDuration.optional(),
  key: expression.optional(),
});

/** One run of up to `size` messages, `wait` after the first one at the latest. */
const batch = z.strictObject({
  size: z.number().int().min(2).max(1_000),
  wait: positiveDuration,
  key: expression.optional(),
});

const trigger = z.strictObject({
  name,
  stream: name,
  subject,
  when: expression.optional(),
  key: expression.optional(),
  debounce: debounce.optional(),
  batch: batch.optional(),
});

/** How long runs are kept after their end; `keepLast` runs are kept whatever their age. */
const retention = z.strictObject({
  completed: positiveDuration.optional(),
  failed: positiveDuration.optional(),
  cancelled: positiveDuration.optional(),
  keepLast: z.number().int().min(1).max(1_000_000).optional(),
});
const onFull = z.enum(['queue', 'cancelOldest', 'cancelNewest', 'drop']);
const concurrency = z.strictObject({
  limit: z.number().int().min(1).max(100_000),
  key: expression.optional(),
  name: name.optional(),
  onFull: onFull.optional(),
});
const rateLimit = z.strictObject({
  limit: z.number().int().min(1).max(10_000),
  per: positiveDuration,
  key: expression.optional(),
  name: name.optional(),
  onFull: z.enum(['queue', 'drop']).optional(),
});
const singleton = z.strictObject({ key: expression.optional(), onFull: onFull.optional() });

/** Flow control of runs. */
const flow = {
  concurrency: z.array(concurrency).min(1).max(8).optional(),
  singleton: singleton.optional(),
  rateLimit: z.array(rateLimit).min(1).max(8).optional(),
  priority: expression.optional(),
};

const queue = z.strictObject({ concurrency: z.number().int().min(1).max(100_000) });

const instant = text(
  {
    rule: 'time',
    expected: 'a time',
    hint: 'write it with its offset, for example 2026-03-01T06:00:00Z or 2026-03-01T07:00:00+01:00',
    placeholder: '2026-01-01T00:00:00Z',
  },
  (value) =>
    /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/.test(value) && !Number.isNaN(Date.parse(value)),
);

/** One of `cron`, `every`, `at`; a rule checks that. */
const schedule = z.strictObject({
  name,
  cron: z.string().optional(),
  timeZone: z.string().optional(),
  every: positiveDuration.optional(),
  offset: duration.optional(),
  at: instant.optional(),
  payload: z.json().optional(),
  with: z.record(z.string().min(1), expression).optional(),
  jitter: duration.optional(),
  overlap: z.enum(OVERLAPS).default('skip'),
  catchUp: z
    .strictObject({ policy: z.enum(['all', 'latest', 'none']).default('latest'), window: duration.default('1d') })
    .prefault({}),
  paused: z.boolean().optional(),
  startAt: instant.optional(),
  endAt: instant.optional(),
});

export const workflowSchema = z.strictObject({
  apiVersion,
  kind: z.literal('Workflow'),
  metadata,
  spec: z.strictObject({
    timeout: positiveDuration.optional(),
    cancelGrace: duration.optional(),
    output: expression.optional(),
    deadLetter: z.boolean().default(true),
    retention: retention.optional(),
    ...flow,
    queues: z.record(name, queue).optional(),
    triggers: z.array(trigger).default([]),
    schedules: z.array(schedule).max(100).default([]),
    steps: z.array(step).min(1).max(200),
  }),
});

/** What starts a durable function; what it does is code in a worker process (docs/functions.md). */
export const functionSchema = z.strictObject({
  apiVersion,
  kind: z.literal('Function'),
  metadata,
  spec: z.strictObject({
    retention: retention.optional(),
    triggers: z.array(trigger).default([]),
    schedules: z.array(schedule).max(100).default([]),
  }),
});

export type StreamDocument = z.infer<typeof streamSchema>;
type Declared = z.infer<typeof workflowSchema>;
/** A workflow, or a durable function as one without steps. */
export type WorkflowDocument = Declared & { readonly spec: Declared['spec'] & { readonly code?: true } };
export type FunctionDocument = z.infer<typeof functionSchema>;
export type StepDocument = WorkflowDocument['spec']['steps'][number];
export type ScheduleDocument = WorkflowDocument['spec']['schedules'][number];
export type TriggerDocument = WorkflowDocument['spec']['triggers'][number];

/** The names of the fields an object of the schema may have at this path; empty when it is no such object. */
export function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let at: unknown = unwrap(schema);
  for (const part of path) {
    if (at instanceof z.ZodObject) at = unwrap(at.shape[String(part)]);
    else if (at instanceof z.ZodArray) at = unwrap(at.element);
    else if (at instanceof z.ZodRecord) at = unwrap(at.valueType);
    else return [];
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function unwrap(schema: unknown): unknown {
  let at = schema;
  while (at instanceof z.ZodOptional || at instanceof z.ZodDefault || at instanceof z.ZodPrefault) at = at.unwrap();
  return at;
}
