/**
 * The janitor: purges ended runs of every workflow whose definition says how long they are kept.
 *
 * Job: follow the definitions, sweep each workflow every few seconds, report. Boundary: removes only what sweep.ts says. Every
 * controller runs one. They agree on who sweeps a workflow by a key in the bucket that its holder writes with each sweep: whoever sees
 * it unchanged for several of its own rounds takes over. That spares work, nothing more: two at once do no harm (sweep.ts).
 */
import { randomUUID } from 'node:crypto';
import type { KV } from '@nats-io/kv';
import { type NatsDoor, systemClock } from '../drivers/index.ts';
import type { Definition, DefinitionFeed, RetentionPolicy } from '../engine/index.ts';
import { type Clock, canonicalJson, messageOf } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { agesOf } from './ledger.ts';
import { retentionBucket, watchPins } from './pins.nats.ts';
import { openRetentionStore } from './store.jetstream.ts';
import { Sweep, type SweepPorts } from './sweep.ts';

export interface JanitorOptions {
  readonly door: NatsDoor;
  readonly definitions: Pick<DefinitionFeed, 'watch'>;
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
  /** Pause between two sweeps of a workflow, in ms; 5,000 by default. */
  readonly everyMs?: number;
}

export interface Janitor {
  /** Ends after the call that is under way. */
  stop(): Promise<void>;
}

const EVERY_MS = 5_000;
/** Rounds in which a holder's key has not changed: it is gone. */
const SILENT_ROUNDS = 3;

interface Lane {
  readonly policy: RetentionPolicy;
  readonly sweep: Sweep;
  /** The holder's key as it was last seen, and for how many rounds. */
  revision: number;
  silent: number;
  mine: boolean;
}

/** @throws MillraceError MR_NATS, MR_DEFINITION_MISSING */
export async function startJanitor(options: JanitorOptions): Promise<Janitor> {
  const kv = await retentionBucket(options.door.nc);
  const pins = await watchPins(kv);
  const { clock = systemClock, telemetry, door } = options;
  const store = openRetentionStore(door);
  const service = new Service(options, kv, { store, pins, telemetry, now: () => clock.now() });
  const watch = await options.definitions.watch((definition) => service.follow(definition), {
    removed: () => undefined, // its runs still end, and grow old
  });
  const running = service.run(clock);
  return {
    async stop() {
      await watch.stop();
      service.stop();
      pins.stop();
      await running;
    },
  };
}

class Service {
  readonly #options: JanitorOptions;
  readonly #kv: KV;
  readonly #ports: SweepPorts;
  readonly #lanes = new Map<string, Lane>();
  readonly #over = new AbortController();
  readonly #me = randomUUID();

  constructor(options: JanitorOptions, kv: KV, ports: SweepPorts) {
    this.#options = options;
    this.#kv = kv;
    this.#ports = ports;
  }

  follow({ name, retention }: Definition): void {
    const policy = retention ?? {};
    const known = this.#lanes.get(name);
    if (known !== undefined && canonicalJson(known.policy) === canonicalJson(policy)) return;
    if (agesOf(policy) === undefined) {
      this.#lanes.delete(name);
      return;
    }
    const sweep = new Sweep(name, policy, this.#ports);
    this.#lanes.set(name, { policy, sweep, revision: 0, silent: 0, mine: false });
  }

  stop(): void {
    this.#over.abort();
  }

  async run(clock: Clock): Promise<void> {
    const { everyMs = EVERY_MS } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      let more = false;
      for (const [workflow, lane] of this.#lanes) {
        if (signal.aborted) break;
        more = (await this.#round(workflow, lane, clock)) || more;
      }
      // What is left over is not put off: a backlog of a night is worked off in one go.
      await clock.sleep(more ? Math.min(50, everyMs) : everyMs, signal).catch(() => undefined);
    }
    await this.#leave();
  }

  /** @returns whether there is more to do at once */
  async #round(workflow: string, lane: Lane, clock: Clock): Promise<boolean> {
    const { metrics, log } = this.#ports.telemetry;
    const begun = clock.now();
    try {
      if (!(await this.#holds(workflow, lane))) return false;
      const swept = await lane.sweep.once(this.#over.signal);
      metrics.gauge('millrace_retention_behind', swept.lagMs / 1_000, { workflow });
      metrics.observe('millrace_retention_sweep_seconds', (clock.now() - begun) / 1_000, { workflow });
      if (swept.runs > 0) log.debug({ workflow, ...swept }, 'ended runs purged');
      return swept.more;
    } catch (error) {
      if (this.#over.signal.aborted) return false;
      lane.mine = false;
      metrics.count('millrace_retention_failures_total', { workflow });
      log.warn({ workflow, err: error }, `retention: ${messageOf(error)}`);
      return false;
    }
  }

  /** Writes that we sweep, if we do or nobody does. The write is refused when another was faster. */
  async #holds(workflow: string, lane: Lane): Promise<boolean> {
    const key = `janitor.${workflow}`;
    const entry = await this.#kv.get(key);
    const revision = entry?.revision ?? 0;
    const free = entry === null || entry.operation !== 'PUT' || entry.string() === this.#me;
    if (!free) {
      lane.silent = revision === lane.revision ? lane.silent + 1 : 0;
      lane.revision = revision;
      if (lane.silent < SILENT_ROUNDS) {
        if (lane.mine) lane.sweep.reset();
        lane.mine = false;
        return false;
      }
    }
    try {
      lane.revision = await this.#kv.put(key, this.#me, { previousSeq: revision });
    } catch {
      return false; // who was faster shows in the next round
    }
    if (!lane.mine) lane.sweep.reset(); // another may have purged since
    lane.mine = true;
    lane.silent = 0;
    return true;
  }

  /** Whoever goes says so, so that the next one need not wait. */
  async #leave(): Promise<void> {
    for (const [workflow, { mine, revision }] of this.#lanes) {
      if (mine) await this.#kv.delete(`janitor.${workflow}`, { previousSeq: revision }).catch(() => undefined);
    }
  }
}
