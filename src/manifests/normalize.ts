/** From what was written to what the engine and the server take: defaults filled in, durations as numbers. Pure. */
import {
  type CompensationDefinition,
  type Definition,
  queueLimit,
  type RetentionPolicy,
  type RetryPolicy,
  type RunLimit,
  runLimits,
  type ScheduleDefinition,
  type StepAction,
  type StepDefinition,
  type StreamAsset,
  type TriggerDefinition,
} from '../engine/index.ts';
import { type Json, MillraceError, parseDuration } from '../kernel/index.ts';
import { inOrder } from './order.ts';
import {
  type ScheduleDocument,
  type StepDocument,
  type StreamDocument,
  type TriggerDocument,
  tryParseSize,
  type WorkflowDocument,
} from './schema.ts';
import { sealDefinition } from './seal.ts';

const NANOS_PER_MS = 1_000_000;
const DUPLICATE_WINDOW = '2m';

/** Marks what manifests created, so that drift can tell it from what others run on the same server. */
export const MANAGED = 'millrace.managed';
const LABEL = 'millrace.label/';

/** `{[name]: value}`, or nothing when there is no value: optional members are left out, never undefined. */
function optional<K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [P in K]?: V };
}

function milliseconds(duration: string | undefined): number | undefined {
  return duration === undefined ? undefined : parseDuration(duration);
}

type Queues = WorkflowDocument['spec']['queues'];

function actionOf(step: StepDocument, queues: Queues): StepAction {
  const { run, sleep, waitForSignal } = step;
  if (run?.worker !== undefined) {
    const { worker, queue = 'default' } = run;
    const limited = queues !== undefined && Object.hasOwn(queues, queue) ? queues[queue] : undefined;
    const limit = limited === undefined ? undefined : queueLimit(queue, limited.concurrency);
    return { kind: 'worker', handler: worker, queue, ...optional('limit', limit) };
  }
  if (run?.prefect !== undefined) return { kind: 'prefect', deployment: run.prefect, pool: run.pool ?? 'default' };
  if (run?.workflow !== undefined) {
    const { workflow, wait = true, onParentClose = 'cancel' } = run;
    return { kind: 'child', workflow, onClose: wait ? onParentClose : 'abandon', wait };
  }
  if (sleep !== undefined) return { kind: 'sleep', ms: parseDuration(sleep) };
  if (waitForSignal !== undefined) {
    const { name, timeout, onTimeout = 'fail' } = waitForSignal;
    return { kind: 'signal', name, onTimeout, ...optional('timeoutMs', milliseconds(timeout)) };
  }
  throw new MillraceError('MR_MANIFEST_INVALID', `step "${step.name}" does nothing`, {
    hint: 'check manifests before normalising them',
  });
}

/** @param attempts when the policy does not say */
function retryOf(retry: StepDocument['retry'], attempts: number): RetryPolicy {
  const { maxAttempts = attempts, initial, factor, max, jitter, maxLost, ...rare } = retry;
  return {
    ...{ maxAttempts, initialMs: parseDuration(initial), factor, maxMs: parseDuration(max), jitter, maxLost },
    ...optional('maxElapsedMs', milliseconds(rare.maxElapsed)),
    ...optional('nonRetryable', rare.nonRetryable),
    ...optional('onExhausted', rare.onExhausted === 'pause' ? 'pause' : undefined),
  };
}

function compensationOf({ run, with: members, retry, timeout }: NonNullable<StepDocument['compensate']>) {
  return {
    handler: run.worker,
    queue: run.queue ?? 'default',
    ...optional('with', members),
    retry: retryOf(retry, 3),
    ...optional('timeoutMs', milliseconds(timeout)),
  } satisfies CompensationDefinition;
}

/** Zero is none. */
function graceOf(cancelGrace: string | undefined): number | undefined {
  return milliseconds(cancelGrace) || undefined;
}

function stepOf(step: StepDocument, queues: Queues): StepDefinition {
  const waits = step.run === undefined;
  const beats = step.run?.worker !== undefined;
  const queued = beats || step.run?.prefect !== undefined;
  return {
    name: step.name,
    needs: step.needs,
    ...optional('when', step.when),
    ...optional('with', waits ? undefined : step.with),
    action: actionOf(step, queues),
    retry: retryOf(step.retry, step.run?.workflow === undefined ? 3 : 1),
    ...optional('timeoutMs', waits ? undefined : milliseconds(step.timeout)),
    ...optional('queueTimeoutMs', queued ? milliseconds(step.queueTimeout) : undefined),
    ...optional('heartbeatTimeoutMs', beats ? milliseconds(step.heartbeatTimeout) : undefined),
    ...optional('compensate', waits || step.compensate === undefined ? undefined : compensationOf(step.compensate)),
    ...optional('forEach', waits ? undefined : step.forEach),
  };
}

function retentionOf({ spec: { retention } }: WorkflowDocument): RetentionPolicy | undefined {
  if (retention === undefined) return undefined;
  return {
    ...optional('completedMs', milliseconds(retention.completed)),
    ...optional('failedMs', milliseconds(retention.failed)),
    ...optional('cancelledMs', milliseconds(retention.cancelled)),
    ...optional('keepLast', retention.keepLast),
  };
}

function timeOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text);
}

function scheduleOf(schedule: ScheduleDocument): ScheduleDefinition {
  const { name, cron, timeZone, every, offset, at, payload, jitter, overlap, catchUp, paused, startAt, endAt } =
    schedule;
  return {
    name,
    ...optional('cron', cron),
    ...optional('timeZone', cron === undefined ? undefined : (timeZone ?? 'UTC')),
    ...optional('everyMs', milliseconds(every)),
    ...optional('offsetMs', milliseconds(offset)),
    ...optional('at', timeOf(at)),
    ...optional('payload', payload as Json | undefined),
    ...optional('with', schedule.with),
    ...optional('jitterMs', milliseconds(jitter)),
    overlap,
    catchUp: { policy: catchUp.policy, windowMs: parseDuration(catchUp.window) },
    ...(paused === true ? { paused } : {}),
    ...optional('startAt', timeOf(startAt)),
    ...optional('endAt', timeOf(endAt)),
  };
}

/** The limits that the workflow's runs ask; undefined when there are none. */
export function limitsOf({ metadata, spec }: WorkflowDocument): readonly RunLimit[] | undefined {
  const { concurrency, singleton, rateLimit } = spec;
  const rates = rateLimit?.map(({ per, ...rest }) => ({ ...rest, perMs: parseDuration(per) }));
  const limits = runLimits(metadata.name, { concurrency, singleton, rateLimit: rates });
  return limits.length === 0 ? undefined : limits;
}

function triggerOf(trigger: TriggerDocument): TriggerDefinition {
  const { name, stream, subject, when, key, debounce, batch } = trigger;
  return {
    ...{ name, stream, subject },
    ...optional('when', when),
    ...optional('key', key),
    ...optional('debounce', debounce && debounceOf(debounce)),
    ...optional(
      'batch',
      batch && { size: batch.size, waitMs: parseDuration(batch.wait), ...optional('key', batch.key) },
    ),
  };
}

function debounceOf({ wait, max, key }: NonNullable<TriggerDocument['debounce']>) {
  return { waitMs: parseDuration(wait), ...optional('maxMs', milliseconds(max)), ...optional('key', key) };
}

/**
 * The definition of a workflow that passed the checks.
 * @throws MillraceError MR_MANIFEST_INVALID, MR_INPUT_INVALID when it did not
 */
export function normalizeWorkflow(document: WorkflowDocument): Definition {
  const { metadata, spec } = document;
  return sealDefinition({
    name: metadata.name,
    ...optional('description', metadata.description),
    ...optional('timeoutMs', milliseconds(spec.timeout)),
    ...optional('graceMs', graceOf(spec.cancelGrace)),
    ...optional('output', spec.output),
    ...optional('code', spec.code),
    deadLetter: spec.deadLetter,
    ...optional('retention', retentionOf(document)),
    ...optional('limits', limitsOf(document)),
    ...optional('priority', spec.priority),
    steps: inOrder(spec.steps).map((step) => stepOf(step, spec.queues)),
    triggers: spec.triggers.map(triggerOf),
    ...optional('schedules', spec.schedules.length === 0 ? undefined : spec.schedules.map(scheduleOf)),
  });
}

/** The stream a manifest asks for. @param replicas when the manifest does not say */
export function normalizeStream(document: StreamDocument, replicas = 1): StreamAsset {
  const { metadata, spec } = document;
  const maxAge = spec.maxAge === undefined ? 0 : parseDuration(spec.maxAge);
  const wanted = parseDuration(spec.duplicateWindow ?? DUPLICATE_WINDOW);
  const window = maxAge > 0 ? Math.min(maxAge, wanted) : wanted;
  const { maxBytes } = spec;
  const labels = Object.entries(metadata.labels ?? {}).map(([name, value]) => [`${LABEL}${name}`, value] as const);
  return {
    name: metadata.name,
    description: metadata.description ?? '',
    subjects: spec.subjects,
    retention: spec.retention,
    storage: spec.storage,
    discard: spec.discard,
    num_replicas: spec.replicas ?? replicas,
    max_age: maxAge * NANOS_PER_MS,
    max_bytes: typeof maxBytes === 'string' ? (tryParseSize(maxBytes) ?? -1) : (maxBytes ?? -1),
    duplicate_window: window * NANOS_PER_MS,
    allow_direct: true,
    metadata: { [MANAGED]: 'manifest', ...Object.fromEntries(labels) },
  };
}
