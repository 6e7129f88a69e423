/** What a message means to a trigger: a run to start, nothing, or a dead letter. Pure. */
import {
  compileExpression,
  evaluateCondition,
  isMillraceError,
  type Json,
  type JsonObject,
  limitInputSubject,
  limitKeyToken,
  MillraceError,
  messageOf,
  runIdOf,
  runIdOfKey,
  spanIdOf,
  TRIGGER_VARIABLES,
  traceIdOfRun,
} from '../../kernel/index.ts';
import { contextFromHeaders, formatTraceparent, parseTraceparent, type TraceHeaders } from '../../telemetry/index.ts';
import { type BodyOf, type Definition, type InputBody, jsonSchema, type TriggerDefinition } from '../model/index.ts';
import type { AskMessage } from './asks.ts';

/** A message on a trigger's source stream. */
export interface TriggerMessage {
  readonly stream: string;
  readonly sequence: number;
  readonly subject: string;
  /** Server time of storing, ms since the epoch. */
  readonly storedAt: number;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

export type TriggerDecision =
  | { readonly kind: 'start'; readonly runId: string; readonly body: InputBody; readonly span: TriggerSpan }
  /** It is gathered with others first. */
  | { readonly kind: 'collect'; readonly message: AskMessage }
  /** The condition is false. */
  | { readonly kind: 'ignore' }
  | { readonly kind: 'dead'; readonly error: MillraceError };

/** Ids of the span `trigger <workflow>`: derived, so that a redelivered message gives the same. */
export interface TriggerSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly sampled: boolean;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

export function decideTrigger(
  definition: Definition,
  trigger: TriggerDefinition,
  message: TriggerMessage,
): TriggerDecision {
  try {
    const payload = payloadOf(message);
    const variables = { payload, subject: message.subject, headers: message.headers };
    if (trigger.when !== undefined && !evaluateCondition(compile(trigger.when), variables)) return { kind: 'ignore' };
    const runId =
      trigger.key === undefined
        ? runIdOf(definition.name, trigger.name, message.stream, message.sequence)
        : runIdOfKey(definition.name, keyOf(trigger.key, variables));
    const { stream, sequence, subject, storedAt } = message;
    const { span, trace } = traceOf(runId, trigger.name, message.headers);
    const source = { stream, sequence, subject, trigger: trigger.name, storedAt };
    const body: BodyOf<'start'> = { v: 1, kind: 'start', digest: definition.digest, payload, source, trace };
    if (trigger.debounce === undefined && trigger.batch === undefined) return { kind: 'start', runId, body, span };
    if (message.data.length > MOST_GATHERED) throw tooLarge(message);
    return { kind: 'collect', message: collectMessage(definition.name, trigger, runId, body, variables) };
  } catch (error) {
    return { kind: 'dead', error: isMillraceError(error) ? error : new MillraceError('MR_INTERNAL', messageOf(error)) };
  }
}

/** Bytes of a message that is gathered with others: all of them start one run together. */
const MOST_GATHERED = 180_000;

function tooLarge({ data }: TriggerMessage): MillraceError {
  return new MillraceError('MR_PAYLOAD_TOO_LARGE', `${data.length} bytes; ${MOST_GATHERED} can be gathered`, {
    hint: 'let a trigger without debounce and batch start runs of messages so large, or send a reference',
  });
}

function collectMessage(
  workflow: string,
  { name, debounce, batch }: TriggerDefinition,
  runId: string,
  body: BodyOf<'start'>,
  variables: Readonly<Record<string, Json>>,
): AskMessage {
  const source = debounce?.key ?? batch?.key;
  const key = source === undefined ? '' : keyOf(source, variables);
  const limit = `gather:${workflow}:${name}`;
  const id = `${body.source?.stream}:${body.source?.sequence}`;
  const policy = {
    ...(debounce === undefined ? {} : { debounce: { waitMs: debounce.waitMs, ...optionalMax(debounce.maxMs) } }),
    ...(batch === undefined ? {} : { batch: { size: batch.size, waitMs: batch.waitMs } }),
  };
  const start = { ...body } as unknown as JsonObject;
  return {
    subject: limitInputSubject(limit, limitKeyToken(limit, key)),
    msgId: `collect:${limit}:${id}`,
    body: { v: 1, kind: 'collect', key, workflow, id, runId, start, ...policy },
  };
}

const optionalMax = (maxMs: number | undefined) => (maxMs === undefined ? {} : { maxMs });

const compile = (source: string) => compileExpression(source, TRIGGER_VARIABLES);

function payloadOf({ data }: TriggerMessage): Json {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(data));
  } catch {
    throw new MillraceError('MR_NOT_JSON', `${data.length} bytes that are not JSON`, {
      hint: 'triggers take JSON; repair the producer, then purge this letter',
    });
  }
  const parsed = jsonSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new MillraceError('MR_INPUT_INVALID', `the payload ${parsed.error.issues[0]?.message ?? 'cannot be used'}`);
}

function keyOf(source: string, variables: Readonly<Record<string, Json>>): string {
  const key = compile(source).evaluate(variables);
  if (typeof key === 'string' && key !== '') return key;
  if (typeof key === 'number' || typeof key === 'boolean') return String(key);
  throw new MillraceError('MR_EXPRESSION', `key: ${source} gives ${JSON.stringify(key)}, which names no run`, {
    hint: 'a key must be a text that is not empty, a number or a boolean',
  });
}

function traceOf(
  runId: string,
  trigger: string,
  headers: Readonly<Record<string, string>>,
): { readonly span: TriggerSpan; readonly trace: TraceHeaders } {
  const given = contextFromHeaders(headers);
  const parent = parseTraceparent(given?.traceparent);
  const span: TriggerSpan = {
    traceId: parent?.traceId ?? traceIdOfRun(runId),
    spanId: spanIdOf(runId, `trigger/${trigger}`),
    sampled: parent?.sampled ?? true,
    ...(parent === undefined ? {} : { parentSpanId: parent.spanId }),
  };
  const traceparent = formatTraceparent(span.traceId, span.spanId, span.sampled);
  const { tracestate } = given ?? {};
  return { span, trace: tracestate === undefined ? { traceparent } : { traceparent, tracestate } };
}
