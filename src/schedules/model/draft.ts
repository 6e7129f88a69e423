/** A line under decision: transitions so far, and the state they lead to. */
import { compileExpression, type Json, messageOf, SCHEDULE_VARIABLES } from '../../kernel/index.ts';
import { evolveLine } from './evolve.ts';
import type { LineStart, LineState, LineTransition } from './line.ts';

/** Starts of one entry: their payloads must fit into it, and what is left is the next entry's. */
const MOST_STARTS = 50;
const MOST_BYTES = 400_000;

export class LineDraft {
  readonly transitions: LineTransition[] = [];
  readonly at: number;
  #state: LineState;
  #starts = 0;
  #bytes = 0;

  constructor(state: LineState, at: number) {
    this.#state = state;
    this.at = at;
  }

  get state(): LineState {
    return this.#state;
  }

  /** false: what else is to start is left for the next input. */
  get hasRoom(): boolean {
    return this.#starts < MOST_STARTS && this.#bytes < MOST_BYTES;
  }

  emit(transition: LineTransition): void {
    this.transitions.push(transition);
    this.#state = evolveLine(this.#state, transition, this.at);
  }

  /** Starts it, or says why its payload cannot be had. */
  fire(start: LineStart, watched: boolean): void {
    let payload: Json;
    try {
      payload = start.payload ?? this.#payloadOf(start.time);
    } catch (error) {
      return this.skip(start, messageOf(error));
    }
    this.#starts++;
    this.#bytes += JSON.stringify(payload).length;
    this.emit({ type: 'RunFired', start: { ...start, payload }, watched });
  }

  skip({ runId, time, why, of }: LineStart, reason: string): void {
    this.#starts++;
    this.emit({ type: 'RunSkipped', time, runId, why, reason, ...(of === undefined ? {} : { of }) });
  }

  #payloadOf(time: number): Json {
    const { spec } = this.#state;
    if (spec?.with === undefined) return spec?.payload ?? null;
    const variables = { scheduledAt: new Date(time).toISOString(), schedule: spec.name };
    const members = Object.entries(spec.with).map(
      ([name, source]) => [name, compileExpression(source, SCHEDULE_VARIABLES).evaluate(variables)] as const,
    );
    return Object.fromEntries(members);
  }
}
