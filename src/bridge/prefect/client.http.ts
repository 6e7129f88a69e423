/**
 * Prefect's REST API over fetch.
 *
 * Job: calls in, typed values or typed errors out. Boundary: no retries and no caching here (the reconcile queue decides
 * when to look again); no meaning of states either (translate.ts).
 *   P1 every call ends within its timeout;
 *   P2 nothing is believed that its schema does not accept;
 *   P3 whether a second try can help is in the error's code.
 */
import type { z } from 'zod';
import { MillraceError, messageOf } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import {
  deploymentSchema,
  errorBodySchema,
  type FlowRun,
  flowRunSchema,
  flowRunsSchema,
  setStateResponseSchema,
  type TaskRun,
  taskRunsSchema,
} from './payloads.ts';
import type { FlowRunQuery, FlowRunRequest, PrefectApi, SetState, SetStateResult } from './port.ts';

/** Prefect refuses a larger page. */
const PAGE = 200;

export interface PrefectClientOptions {
  /** `http://host:4200/api`. */
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** Milliseconds per request; 10,000 by default. */
  readonly timeoutMs?: number;
  readonly telemetry?: Pick<Telemetry, 'metrics'>;
}

interface Reply {
  readonly status: number;
  readonly body: unknown;
}

/** A client of the Prefect API at `url`. Opens no connection before the first call. */
export function createPrefectClient(options: PrefectClientOptions): PrefectApi {
  return new HttpPrefect(options);
}

class HttpPrefect implements PrefectApi {
  readonly #options: PrefectClientOptions;
  readonly #base: string;

  constructor(options: PrefectClientOptions) {
    this.#options = options;
    this.#base = options.url.replace(/\/+$/, '');
  }

  async health(): Promise<boolean> {
    return (await this.#call('health', 'GET', '/health')).body === true;
  }

  async version(): Promise<string> {
    const { body } = await this.#call('version', 'GET', '/admin/version');
    if (typeof body === 'string') return body;
    throw this.#unexpected('version', body);
  }

  async deploymentByName(name: string) {
    const [flow = '', ...rest] = name.split('/');
    const path = `/deployments/name/${encodeURIComponent(flow)}/${encodeURIComponent(rest.join('/'))}`;
    const reply = await this.#call('deploymentByName', 'GET', path, undefined, [404]);
    return reply.status === 404 ? undefined : this.#parse('deploymentByName', deploymentSchema, reply.body);
  }

  async createFlowRun(deploymentId: string, request: FlowRunRequest): Promise<FlowRun> {
    const body = {
      name: request.name,
      idempotency_key: request.idempotencyKey,
      labels: request.labels,
      tags: request.tags,
      parameters: request.parameters,
      state: { type: 'SCHEDULED' },
    };
    const path = `/deployments/${encodeURIComponent(deploymentId)}/create_flow_run`;
    const reply = await this.#call('createFlowRun', 'POST', path, body, [404]);
    if (reply.status === 404) {
      throw new MillraceError('MR_DEPLOYMENT_MISSING', `Prefect has no deployment ${deploymentId} any more`, {
        hint: 'create the deployment again (for example with flow.deploy or prefect deploy)',
      });
    }
    return this.#parse('createFlowRun', flowRunSchema, reply.body);
  }

  async readFlowRun(id: string): Promise<FlowRun | undefined> {
    const reply = await this.#call('readFlowRun', 'GET', `/flow_runs/${encodeURIComponent(id)}`, undefined, [404]);
    return reply.status === 404 ? undefined : this.#parse('readFlowRun', flowRunSchema, reply.body);
  }

  async filterFlowRuns(query: FlowRunQuery): Promise<readonly FlowRun[]> {
    const found: FlowRun[] = [];
    for (const part of slices(query)) {
      for (let offset = 0; ; offset += PAGE) {
        const body = { flow_runs: filterOf(part), sort: 'ID_DESC', limit: PAGE, offset };
        const reply = await this.#call('filterFlowRuns', 'POST', '/flow_runs/filter', body);
        const page = this.#parse('filterFlowRuns', flowRunsSchema, reply.body);
        found.push(...page);
        if (page.length < PAGE) break;
      }
    }
    return found;
  }

  async setState(id: string, state: SetState): Promise<SetStateResult | undefined> {
    const details = state.transitionId === undefined ? {} : { state_details: { transition_id: state.transitionId } };
    const body = { state: { type: state.type, message: state.message, ...details }, force: state.force ?? false };
    const path = `/flow_runs/${encodeURIComponent(id)}/set_state`;
    const reply = await this.#call('setState', 'POST', path, body, [404]);
    if (reply.status === 404) return undefined;
    const said = this.#parse('setState', setStateResponseSchema, reply.body);
    return { status: said.status, reason: said.details?.reason ?? undefined, state: said.state ?? undefined };
  }

  async readTaskRuns(flowRunId: string): Promise<readonly TaskRun[]> {
    const found: TaskRun[] = [];
    for (let offset = 0; ; offset += PAGE) {
      const body = { flow_runs: { id: { any_: [flowRunId] } }, sort: 'ID_DESC', limit: PAGE, offset };
      const page = this.#parse(
        'readTaskRuns',
        taskRunsSchema,
        (await this.#call('readTaskRuns', 'POST', '/task_runs/filter', body)).body,
      );
      found.push(...page);
      if (page.length < PAGE) return found;
    }
  }

  async #call(op: string, method: string, path: string, body?: unknown, expected: number[] = []): Promise<Reply> {
    try {
      const reply = await this.#fetch(method, path, body);
      if (reply.status >= 400 && !expected.includes(reply.status)) throw this.#refusal(op, reply);
      this.#count(op, 'ok');
      return reply;
    } catch (error) {
      this.#count(op, error instanceof MillraceError ? error.code : 'MR_INTERNAL');
      throw error;
    }
  }

  async #fetch(method: string, path: string, body: unknown): Promise<Reply> {
    const { apiKey, timeoutMs = 10_000 } = this.#options;
    let text: string;
    let status: number;
    try {
      const response = await fetch(this.#base + path, {
        method,
        headers: {
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
        },
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      status = response.status;
      text = await response.text();
    } catch (cause) {
      throw this.#unreachable(cause, timeoutMs);
    }
    return { status, body: fromJson(text) };
  }

  #unreachable(cause: unknown, timeoutMs: number): MillraceError {
    const inner = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
    const why =
      cause instanceof Error && cause.name === 'TimeoutError' ? `no answer in ${timeoutMs} ms` : messageOf(inner);
    return new MillraceError('MR_PREFECT_UNREACHABLE', `Prefect does not answer at ${this.#base}: ${why}`, {
      hint: 'start the Prefect server, or point MILLRACE_PREFECT_URL at one that runs (its path ends in /api)',
      cause,
    });
  }

  #refusal(op: string, { status, body }: Reply): MillraceError {
    const text = `Prefect answered ${status} to ${op}: ${detailOf(body)}`;
    if (status === 401 || status === 403) {
      // Once somebody sets the right key the same call goes through: no run should fail for it meanwhile.
      return new MillraceError('MR_PREFECT_REFUSED', text, { hint: 'check MILLRACE_PREFECT_API_KEY', next: 'retry' });
    }
    if (status >= 500 || status === 408 || status === 429) {
      return new MillraceError('MR_PREFECT', text, { hint: 'the Prefect server log says more; this is tried again' });
    }
    return new MillraceError('MR_PREFECT_REFUSED', text, {
      hint: 'compare the step with its deployment: parameters and their schema, work pool, name',
    });
  }

  #parse<T>(op: string, schema: z.ZodType<T>, body: unknown): T {
    const parsed = schema.safeParse(body);
    if (parsed.success) return parsed.data;
    throw this.#unexpected(op, body);
  }

  #unexpected(op: string, body: unknown): MillraceError {
    const seen = (JSON.stringify(body) ?? String(body)).slice(0, 200);
    return new MillraceError('MR_PREFECT', `Prefect's answer to ${op} is not what its API promises: ${seen}`, {
      hint: `is ${this.#base} really a Prefect 3 API? (its path ends in /api)`,
    });
  }

  #count(op: string, result: string): void {
    this.#options.telemetry?.metrics.count('millrace_prefect_requests_total', { op, result });
  }
}

function fromJson(text: string): unknown {
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return text; // a proxy's page of HTML: shown in the error, accepted by no schema
  }
}

function detailOf(body: unknown): string {
  const parsed = errorBodySchema.safeParse(body);
  const said = parsed.success ? (parsed.data.exception_message ?? parsed.data.detail) : undefined;
  const text = typeof said === 'string' ? said : (JSON.stringify(said ?? body) ?? '');
  return text.slice(0, 500);
}

/** Long lists of ids go in several requests: a page could not hold the answer anyway. */
function slices(query: FlowRunQuery): FlowRunQuery[] {
  if (query.ids !== undefined) return chunks(query.ids).map((ids) => ({ ...query, ids }));
  if (query.idempotencyKeys !== undefined) {
    return chunks(query.idempotencyKeys).map((idempotencyKeys) => ({ ...query, idempotencyKeys }));
  }
  return [query];
}

function chunks<T>(items: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let i = 0; i < items.length; i += PAGE) parts.push(items.slice(i, i + PAGE));
  return parts;
}

function filterOf(query: FlowRunQuery): object {
  const { ids, idempotencyKeys, tags, types } = query;
  return {
    ...(ids === undefined ? {} : { id: { any_: ids } }),
    ...(idempotencyKeys === undefined ? {} : { idempotency_key: { any_: idempotencyKeys } }),
    ...(tags === undefined ? {} : { tags: { all_: tags } }),
    ...(types === undefined ? {} : { state: { type: { any_: types } } }),
  };
}
