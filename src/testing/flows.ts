/** Prefect in a test environment: what a mock gives is what the flow run reports. Pure. */
import type { CommandBatch, FlowState, InputBody, RunRef } from '../engine/index.ts';
import { isMillraceError, type Json, messageOf } from '../kernel/index.ts';
import { noTelemetry } from '../telemetry/index.ts';
import type { Mocks } from './mocks.ts';
import type { MemoryServer } from './server.ts';

export interface FlowParts {
  readonly server: MemoryServer;
  readonly mocks: Mocks;
  /** An attempt's code begins; gives what to call when it has ended. */
  readonly began: (step: string) => () => void;
}

/** Steps that wait for a flow run which nobody mocks. */
export class Flows {
  readonly #parts: FlowParts;
  readonly #begun = new Set<string>();
  /** Deployments that were asked for and have no mock. */
  readonly missing = new Set<string>();

  constructor(parts: FlowParts) {
    this.#parts = parts;
  }

  /** The engine wants the flow run of an attempt to be looked at: it is started once, by the attempt's key. */
  readonly reconcile = ({ run, state }: CommandBatch, step: string, attempt: number): void => {
    const { server, mocks } = this.#parts;
    const { action } = server.definition(run.workflow).steps.find(({ name }) => name === step) ?? {};
    if (action?.kind !== 'prefect') return;
    const mock = mocks.of(action.deployment) ?? mocks.of(step);
    if (mock === undefined) return void this.missing.add(action.deployment);
    const flowRunId = `${run.runId}-${step}-${attempt}`;
    if (this.#begun.has(flowRunId)) return;
    this.#begun.add(flowRunId);
    void this.#execute(run, step, attempt, flowRunId, async () =>
      mock(state.steps[step]?.input ?? null, {
        ...run,
        step,
        attempt,
        idempotencyKey: `${run.runId}/${step}`,
        signal: new AbortController().signal,
        progress: undefined,
        heartbeat: () => undefined, // a flow's are its host's
        log: noTelemetry.log,
      }),
    );
  };

  async #execute(run: RunRef, step: string, attempt: number, flowRunId: string, flow: () => Promise<unknown>) {
    const { server, began } = this.#parts;
    const report = (type: FlowState['type'], more: object = {}): Promise<unknown> => {
      const state = { type, name: type[0] + type.slice(1).toLowerCase(), at: server.clock.now(), message: null };
      const body: InputBody = { v: 1, kind: 'flow', step, attempt, flowRunId, state, source: 'host', ...more };
      return server.send(run, body, `flow:${flowRunId}:${type}`);
    };
    const ended = began(step);
    await report('RUNNING');
    try {
      const result = (await flow()) as Json; // what a flow returns is stored as JSON
      await report('COMPLETED', { result: result ?? null });
    } catch (error) {
      const retryable = !isMillraceError(error) || error.next !== 'terminal';
      const failure = { code: 'MR_STEP_FAILED', message: messageOf(error), retryable, lost: false };
      await report('FAILED', { error: failure });
    } finally {
      ended();
    }
  }
}
