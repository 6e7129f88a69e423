/** Prefect and its flow hosts, as little of them as the engine can see: flow runs by key, states, reports of three sources. */
import { type FlowState, isOut, type RunState, stepOf, TERMINAL_FLOW_STATES } from '../../src/engine/index.ts';
import type { Chance } from './chance.ts';
import type { FlowKey } from './receivers.ts';

export interface FlowRun extends FlowKey {
  readonly id: string;
  state: FlowState;
}

export interface Report extends FlowKey {
  readonly flowRunId: string;
  readonly state: FlowState;
  readonly source: 'host' | 'events' | 'reconcile';
}

export class SimulatedPrefect {
  readonly flows = new Map<string, FlowRun>();
  /** Reports under way; they may overtake each other. */
  readonly reports: Report[] = [];
  readonly #chance: Chance;
  readonly #now: () => number;

  constructor(chance: Chance, now: () => number) {
    this.#chance = chance;
    this.#now = now;
  }

  running(): readonly FlowRun[] {
    return [...this.flows.values()].filter(({ state }) => !TERMINAL_FLOW_STATES.has(state.type));
  }

  #move(flow: FlowRun, type: FlowState['type'], lossy: boolean): void {
    flow.state = { type, name: type, at: this.#now() };
    for (const source of ['host', 'events'] as const) {
      if (!lossy || this.#chance.happens(0.7)) this.report(flow, source);
    }
  }

  report(flow: FlowRun, source: Report['source']): void {
    const { runId, step, attempt, id, state } = flow;
    this.reports.push({ runId, step, attempt, flowRunId: id, state, source });
  }

  /** A host moves the flow run on. */
  progress(flow: FlowRun, lossy: boolean): void {
    const { type } = flow.state;
    if (type === 'SCHEDULED') return this.#move(flow, 'PENDING', lossy);
    if (type === 'PENDING') return this.#move(flow, 'RUNNING', lossy);
    const end = this.#chance.weighted([
      { weight: 70, type: 'COMPLETED' },
      { weight: 15, type: 'FAILED' },
      { weight: 10, type: 'CRASHED' },
      { weight: lossy ? 3 : 0, type: 'CANCELLED' },
    ] as const);
    this.#move(flow, end.type, lossy);
  }

  /** Level-based: looks at both sides as they are and does what is missing. */
  reconcile(key: FlowKey, run: RunState, lossy: boolean): void {
    const name = `${key.runId}/${key.step}/${key.attempt}`;
    const flow = this.flows.get(name);
    const step = stepOf(run, key.step);
    const wanted = run.status === 'running' && run.closing === undefined && isOut(step) && step.attempt === key.attempt;
    if (flow === undefined) {
      if (!wanted) return;
      const state = { type: 'SCHEDULED', name: 'SCHEDULED', at: this.#now() } as const;
      this.flows.set(name, { ...key, id: `flow-${name}`, state });
      return;
    }
    if (TERMINAL_FLOW_STATES.has(flow.state.type)) {
      if (step.flows[key.attempt]?.state.type !== flow.state.type) this.report(flow, 'reconcile');
    } else if (!wanted) this.#move(flow, 'CANCELLED', lossy);
  }
}
