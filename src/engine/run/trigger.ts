/** What a message means to a trigger: a run to start, nothing, or a dead letter. Pure. */
import {
  compileExpression,
  evaluateCondition,
  isMillraceError,
  type Json,
  MillraceError,
  messageOf,
  runIdOf,
  runIdOfKey,
  spanIdOf,
  TRIGGER_VARIABLES,
  traceIdOfRun,
} from '../../kernel/index.ts';
import { contextFromHeaders, formatTraceparent, parseTraceparent, type TraceHeaders } from '../../telemetry/index.ts';
import { type Definition, type InputBody, jsonSchema, type TriggerDefinition } from '../model/index.ts';

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
    const body: InputBody = { v: 1, kind: 'start', digest: definition.digest, payload, source, trace };
    return { kind: 'start', runId, body, span };
  } catch (error) {
    return { kind: 'dead', error: isMillraceError(error) ? error : new MillraceError('MR_INTERNAL', messageOf(error)) };
  }
}

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
