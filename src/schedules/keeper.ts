/**
 * The keeper: compares what lines are with what definitions, clocks and runs say, and sends the input that is missing.
 *
 * Boundary: it decides nothing, it only asks a line to look; every controller may have one, and each may die at any time.
 *   K1 a schedule that a definition describes otherwise than its line knows is set, one that none describes is removed;
 *   K2 a line whose timer is overdue is asked to look: a timer that was lost costs seconds;
 *   K3 a line of which something waits for a run's end is asked to look once that run has ended.
 */
import type { Definition, ScheduleDefinition } from '../engine/index.ts';
import { type Clock, canonicalJson, messageOf, shortHash } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { type LineRef, type LineState, type StoredLineEntry, waitsForEnds } from './model/line.ts';
import type { LineRuns, LineStore } from './ports.ts';

export interface KeeperPorts {
  readonly store: Pick<LineStore, 'send'>;
  readonly runs: Pick<LineRuns, 'look'>;
  /** The current definition, asked for anew: what a watch told may be old. */
  readonly current: (workflow: string) => Promise<Definition | undefined>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** How long a timer may be overdue before the keeper asks. */
export const OVERDUE_MS = 3_000;
/** An ask that nothing came of is made again after so long. */
const AGAIN_MS = 5_000;
/** Everything is compared with everything now and then, whether or not something is known to have changed. */
const COMPARE_MS = 10_000;

const keyOf = ({ workflow, line }: LineRef): string => `${workflow}.${line}`;
const describe = (spec: ScheduleDefinition | undefined): string =>
  spec === undefined ? '' : shortHash(canonicalJson({ ...spec }));

export class Keeper {
  readonly #ports: KeeperPorts;
  readonly #definitions = new Map<string, Definition>();
  readonly #lines = new Map<string, LineState>();
  #changed = true;
  #compared = Number.NEGATIVE_INFINITY;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  /** A definition is current now. */
  defined(definition: Definition): void {
    this.#definitions.set(definition.name, definition);
    this.#changed = true;
  }

  /** A workflow has no definition any more. */
  undefined(name: string): void {
    this.#definitions.delete(name);
    this.#changed = true;
  }

  /** A line's last entry. */
  line({ after, seq }: StoredLineEntry): void {
    const key = keyOf(after);
    const known = this.#lines.get(key);
    if (known !== undefined && known.lastEntry >= seq) return;
    if (describe(known?.spec) !== describe(after.spec)) this.#changed = true;
    // Of the lines of keys only those that wait are of interest.
    if (after.line.startsWith('=') && !waitsForEnds(after)) this.#lines.delete(key);
    else this.#lines.set(key, { ...after, lastEntry: seq });
  }

  /** One round; what fails is logged and tried in the next one. */
  async tick(): Promise<void> {
    try {
      const now = this.#ports.clock.now();
      const round = now - this.#compared >= COMPARE_MS;
      if (this.#changed || round) {
        this.#changed = false;
        this.#compared = now;
        await this.#compare();
      }
      for (const state of this.#lines.values()) await this.#look(state, now, round);
    } catch (error) {
      this.#changed = true;
      this.#ports.telemetry.log.warn({ err: error }, `schedules could not be compared: ${messageOf(error)}`);
    }
  }

  /** K1 */
  async #compare(): Promise<void> {
    const { store, current } = this.#ports;
    const wanted = (definition: Definition | undefined, line: string): ScheduleDefinition | undefined =>
      definition?.schedules?.find(({ name }) => name === line);
    const refs = new Map<string, LineRef>();
    for (const { name, schedules = [] } of this.#definitions.values()) {
      for (const one of schedules) refs.set(`${name}.${one.name}`, { workflow: name, line: one.name });
    }
    for (const [key, { workflow, line, spec }] of this.#lines) {
      if (spec !== undefined) refs.set(key, { workflow, line });
    }
    for (const [key, ref] of refs) {
      const known = this.#lines.get(key);
      const is = describe(known?.spec);
      if (describe(wanted(this.#definitions.get(ref.workflow), ref.line)) === is) continue;
      const spec = wanted(await current(ref.workflow), ref.line);
      const should = describe(spec);
      if (should === is) continue;
      const id = `set:${key}:${should}:${known?.lastEntry ?? 0}`;
      if (spec === undefined) await store.send(ref, { v: 1, kind: 'remove' }, id);
      else await store.send(ref, { v: 1, kind: 'set', spec: spec as never }, id);
    }
  }

  async #look(state: LineState, now: number, round: boolean): Promise<void> {
    const { store, runs } = this.#ports;
    const id = (why: string): string => `look:${keyOf(state)}:${state.lastEntry}:${why}:${Math.floor(now / AGAIN_MS)}`;
    if (state.next !== undefined && state.next.due + OVERDUE_MS < now) {
      await store.send(state, { v: 1, kind: 'look' }, id('overdue'));
      return;
    }
    // Where nothing waits, that a run has ended is only good to know.
    if (!waitsForEnds(state) && !round) return;
    for (const { runId } of state.running) {
      const status = await runs.look(state.workflow, runId);
      if (status === 'new' || status === 'open') continue;
      await store.send(state, { v: 1, kind: 'look' }, id(runId));
      return;
    }
  }
}
