/** A line as tests drive it: inputs in, transitions out, the state kept. */
import type { ScheduleDefinition } from '../../src/engine/index.ts';
import { decideLine, timeOf } from '../../src/schedules/model/decide.ts';
import { evolveLine } from '../../src/schedules/model/evolve.ts';
import {
  type EndStatus,
  type LineInputBody,
  type LineState,
  type LineTransition,
  newLine,
} from '../../src/schedules/model/line.ts';

export const MINUTE = 60_000;
/** 2026-01-01T00:00:00Z */
export const T0 = Date.UTC(2026, 0, 1);

export const everyMinute = (more: Partial<ScheduleDefinition> = {}): ScheduleDefinition => ({
  name: 'tick',
  everyMs: MINUTE,
  overlap: 'skip',
  catchUp: { policy: 'latest', windowMs: 24 * 60 * MINUTE },
  ...more,
});

export class LineSpec {
  state: LineState;
  #seq = 0;

  constructor(line = 'tick') {
    this.state = newLine({ workflow: 'w', line });
  }

  give(at: number, body: LineInputBody, ended: Record<string, EndStatus> = {}): readonly LineTransition[] {
    const input = {
      seq: ++this.#seq,
      at,
      body,
      ended: Object.entries(ended).map(([runId, status]) => ({ runId, status })),
    };
    const transitions = decideLine(this.state, input);
    const time = timeOf(this.state, input);
    this.state = transitions.reduce((state, t) => evolveLine(state, t, time), this.state);
    return transitions;
  }

  set(at: number, spec: ScheduleDefinition): readonly LineTransition[] {
    return this.give(at, { v: 1, kind: 'set', spec: spec as never });
  }

  /** The server fires the timer that is set. */
  fire(ended: Record<string, EndStatus> = {}, late = 0): readonly LineTransition[] {
    const due = this.state.next?.due;
    if (due === undefined) throw new Error('no timer is set');
    return this.give(due + late, { v: 1, kind: 'due', due }, ended);
  }

  get open(): readonly string[] {
    return this.state.running.map(({ runId }) => runId);
  }
}

/** Times of the runs that the transitions start, in minutes after {@link T0}. */
export const started = (transitions: readonly LineTransition[]): readonly number[] =>
  transitions.flatMap((t) => (t.type === 'RunFired' ? [(t.start.time - T0) / MINUTE] : []));
export const typesOf = (transitions: readonly LineTransition[]): readonly string[] =>
  transitions.map(({ type }) => type);
