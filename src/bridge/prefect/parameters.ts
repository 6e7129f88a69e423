/** What a flow run is created with: names, labels, tags and parameters as docs/protocol.md gives them. Pure. */
import type { StepDefinition } from '../../engine/index.ts';
import { isObject, type Json, type JsonObject } from '../../kernel/index.ts';
import type { TraceHeaders } from '../../telemetry/index.ts';
import { idempotencyKeyOf, type ReconcileKey, tagsOf } from '../key.ts';
import type { FlowRunRequest } from './port.ts';

/** Label through which Prefect's own instrumentation continues a trace. */
const TRACE_LABEL = '__OTEL_TRACEPARENT';
/** Prefect replaces an object that has this member by something else: a variable, a rendered template. */
const HYDRATED = '__prefect_kind';

/** Parameters of the step's flow: its input when the step says `with`, else one parameter `input` that holds it. */
export function parametersOf(step: StepDefinition, input: Json): JsonObject {
  return step.with !== undefined && isObject(input) ? input : { input };
}

/**
 * Parameters that Prefect takes as they are. Data that looks like one of its placeholders would be rendered as a template
 * with the workspace's variables; such a parameter travels as JSON text, which Prefect turns back into the value.
 */
export function literalParameters(parameters: JsonObject): JsonObject {
  const members = Object.entries(parameters).map(([name, value]): [string, Json] => [
    name,
    holdsPlaceholder(value) ? { [HYDRATED]: 'json', value: JSON.stringify(value) } : value,
  ]);
  return Object.fromEntries(members);
}

function holdsPlaceholder(value: Json): boolean {
  if (Array.isArray(value)) return value.some(holdsPlaceholder);
  if (!isObject(value)) return false;
  return Object.hasOwn(value, HYDRATED) || Object.values(value).some((member) => holdsPlaceholder(member as Json));
}

/** The flow run of an attempt. `context` is the attempt's: the parent of the flow's span. */
export function flowRunRequest(key: ReconcileKey, parameters: JsonObject, context: TraceHeaders): FlowRunRequest {
  return {
    name: `${key.runId}-${key.step}-${key.attempt}`,
    idempotencyKey: idempotencyKeyOf(key),
    labels: {
      'millrace.workflow': key.workflow,
      'millrace.run': key.runId,
      'millrace.step': key.step,
      'millrace.attempt': key.attempt,
      [TRACE_LABEL]: context.traceparent,
    },
    tags: tagsOf(key),
    parameters: literalParameters(parameters),
  };
}
