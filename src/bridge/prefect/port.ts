/** What the bridge asks of Prefect. Adapter: client.http.ts. Every call throws the errors named at {@link PrefectApi}. */
import type { JsonObject } from '../../kernel/index.ts';
import type { Deployment, FlowRun, PrefectState, StateType, TaskRun } from './payloads.ts';

/** What a flow run is created with. */
export interface FlowRunRequest {
  readonly name: string;
  readonly idempotencyKey: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly tags: readonly string[];
  readonly parameters: JsonObject;
}

export interface SetState {
  readonly type: StateType;
  readonly message: string;
  /** Skips Prefect's orchestration rules. */
  readonly force?: boolean;
  /** UUID; the state now held under the same one is not set a second time. */
  readonly transitionId?: string;
}

/** Prefect answers 200 also when it refuses; this is what it really said. */
export interface SetStateResult {
  readonly status: 'ACCEPT' | 'REJECT' | 'ABORT' | 'WAIT';
  readonly reason: string | undefined;
  /** The state the flow run has now, as far as Prefect told. */
  readonly state: PrefectState | undefined;
}

/** All conditions given must hold. */
export interface FlowRunQuery {
  readonly ids?: readonly string[];
  readonly idempotencyKeys?: readonly string[];
  /** Flow runs that carry every one of these tags. */
  readonly tags?: readonly string[];
  readonly types?: readonly StateType[];
}

/**
 * Throws MR_PREFECT_UNREACHABLE (no answer in time), MR_PREFECT (an answer that is no use, worth another try) and
 * MR_PREFECT_REFUSED (another try cannot help). What does not exist is `undefined`, except for a deployment that is needed.
 */
export interface PrefectApi {
  /** True when the server says it can work. */
  health(): Promise<boolean>;
  version(): Promise<string>;
  /** @param name `<flow>/<deployment>` */
  deploymentByName(name: string): Promise<Deployment | undefined>;
  /** Creates the flow run SCHEDULED, or gives the one that has this idempotency key already. @throws MR_DEPLOYMENT_MISSING */
  createFlowRun(deploymentId: string, request: FlowRunRequest): Promise<FlowRun>;
  readFlowRun(id: string): Promise<FlowRun | undefined>;
  /** All that match, however many. */
  filterFlowRuns(query: FlowRunQuery): Promise<readonly FlowRun[]>;
  /** `undefined` when there is no such flow run. */
  setState(id: string, state: SetState): Promise<SetStateResult | undefined>;
  readTaskRuns(flowRunId: string): Promise<readonly TaskRun[]>;
}
