/**
 * Durable functions beside the peers: the same workloads through the same driver, every system with its client and worker in a process
 * of its own beside its own servers, all on one machine.
 *
 * 1. Millrace is measured anew beside each peer, workload by workload in turn (a b, b a), so a ratio is of one minute.
 * 2. Of a pair both are up and one works; the other peers are not up.
 * 3. Each system has as many runs at once as it does best with.
 * 4. A peer that cannot be had, or fails at a workload, leaves a gap with the reason, and the rest goes on.
 */
import { type Figure, type FreeBenchmark, type FreeContext, figureOf, figuresOf, type Sync } from './benchmark.ts';
import { PEERS } from './labels.ts';
import { sentenceOf } from './sentence.ts';
import type { Figures, Row } from './summary.ts';
import { type HostHandle, openHost } from './systems/client.ts';
import { SYSTEMS } from './systems/registry.ts';
import {
  type Beside,
  type Capacity,
  findCapacity,
  timesBetter,
  WORKLOADS,
  type Workload,
  workloadsOf,
} from './workloads.ts';

const OURS = 'millrace';
/** A pair that has less time left is not begun. */
const PAIR_SECONDS = 150;
const QUICK_PAIR_SECONDS = 30;
/** Nor is a workload. */
const END_SECONDS = 90;
const QUICK_END_SECONDS = 15;
const LATE = 'not run: the others had taken the time of this round';
const SYNCS: readonly Sync[] = ['lazy', 'always'];
/** Another way of using a peer is measured by its rates and alone; what it does otherwise is the peer's own. */
const VARIANTS: ReadonlySet<string> = new Set(['temporal-local']);
const OF_VARIANTS = /^(rate|alone)/;
const BESIDE: readonly (readonly [key: keyof Beside, label: string, digits: number])[] = [
  ['p99Ms', 'p99 ms', 0],
  ['hostCpuMs', 'processor ms per run, client and worker', 2],
  ['serversCpuMs', 'processor ms per run, servers', 2],
  ['hostRssMb', 'memory MB, client and worker', 0],
  ['serversRssMb', 'memory MB, servers', 0],
];

/** A system that is up; one that failed at something is started anew for the next. */
class Side {
  readonly name: string;
  readonly #sync: Sync;
  readonly #quick: boolean;
  #host: HostHandle | undefined;
  #best: Capacity | undefined;

  constructor(name: string, sync: Sync, quick: boolean) {
    this.name = name;
    this.#sync = sync;
    this.#quick = quick;
  }

  async host(): Promise<HostHandle> {
    return (this.#host ??= await openHost(this.name, this.#sync));
  }

  async stop(): Promise<void> {
    const host = this.#host;
    this.#host = undefined;
    await host?.stop();
  }

  /** @throws Error that names the system */
  async measure(workload: Workload, offered: number): ReturnType<Workload['measure']> {
    const capacity = await this.capacity();
    const host = await this.host();
    const { needs } = workload;
    if (needs !== undefined && !host.can[needs.can]) throw new Error(`${host.name} has no ${needs.name} here`);
    try {
      return await workload.measure(host, { ...capacity, offered, quick: this.#quick });
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** At how many runs at once it does most. */
  async capacity(): Promise<Capacity> {
    const saturated: HostHandle['saturated'] = async (options) => {
      try {
        return await (await this.host()).saturated(options);
      } catch (error) {
        await this.stop();
        throw error;
      }
    };
    return (this.#best ??= await findCapacity(async () => ({ saturated }), this.#quick));
  }
}

function workloadsFor(peer: string, sync: Sync, quick: boolean): readonly Workload[] {
  return workloadsOf(sync, quick).filter(({ key }) => !VARIANTS.has(peer) || OF_VARIANTS.test(key));
}

async function pair(ours: Side, theirs: Side, sync: Sync, context: FreeContext): Promise<Figures> {
  const figures: Record<string, number> = {};
  const peer = theirs.name;
  let offered = 1;
  for (const [i, workload] of workloadsFor(peer, sync, context.quick).entries()) {
    const { key } = workload;
    const took: Record<string, number> = {};
    try {
      if (context.secondsLeft() < (context.quick ? QUICK_END_SECONDS : END_SECONDS)) throw new Error(LATE);
      // In turn: whoever is second this time is first the next.
      for (const side of i % 2 === 0 ? [ours, theirs] : [theirs, ours]) {
        const { value, beside } = await side.measure(workload, offered);
        took[side.name] = value;
        if (key !== 'rate3' || beside === undefined) continue;
        for (const [of] of BESIDE) figures[`${side === ours ? `${OURS}.` : ''}${peer}.${of}`] = beside[of];
      }
    } catch (error) {
      context.missing({ figure: workload.figure(sync), against: peer, sentence: sentenceOf(error) });
      continue;
    }
    const [our = Number.NaN, their = Number.NaN] = [took[ours.name], took[peer]];
    figures[`${OURS}.${peer}.${key}`] = our;
    figures[`${peer}.${key}`] = their;
    figures[`ratio.${peer}.${key}`] = timesBetter(workload, our, their);
    if (key === 'rate3') offered = Math.max(5, Math.round(Math.min(our, their) / 2));
  }
  return figures;
}

async function round(context: FreeContext): Promise<Figures> {
  const { sync = 'lazy', quick } = context;
  let figures: Figures = {};
  const ours = new Side(OURS, sync, quick);
  context.onAbort(() => ours.stop());
  const describe = async (side: Side): Promise<void> => {
    const { atOnce } = await side.capacity();
    const { version, durability } = await side.host();
    context.describe(side.name, `${version}; ${durability}; ${atOnce} runs at once`);
  };
  try {
    await describe(ours);
    for (const { name } of SYSTEMS.filter((one) => one.name !== OURS && !(quick && VARIANTS.has(one.name)))) {
      context.progress(`beside ${name}`);
      const theirs = new Side(name, sync, quick);
      context.onAbort(() => theirs.stop());
      try {
        if (context.secondsLeft() < (quick ? QUICK_PAIR_SECONDS : PAIR_SECONDS)) {
          throw new Error(LATE);
        }
        await describe(theirs);
        figures = { ...figures, ...(await pair(ours, theirs, sync, context)) };
      } catch (error) {
        const sentence = sentenceOf(error);
        context.progress(`${name}: ${sentence}`);
        for (const { figure } of workloadsFor(name, sync, quick)) {
          context.missing({ figure: figure(sync), against: name, sentence });
        }
      } finally {
        await theirs.stop();
        await ours.stop(); // beside the next peer, which is new, ours is new as well
      }
    }
  } finally {
    await ours.stop();
  }
  return figures;
}

const peers = (): readonly string[] => SYSTEMS.map(({ name }) => name).filter((name) => name !== OURS);

function rows(): readonly Row[] {
  return peers().flatMap((peer) => {
    const label = PEERS[peer] ?? peer;
    const workloads = WORKLOADS.flatMap(({ key, label: what, digits }): readonly Row[] => [
      { key: `${OURS}.${peer}.${key}`, label: `Millrace: ${what}`, digits },
      { key: `${peer}.${key}`, label: `${label}: ${what}`, digits },
      { key: `ratio.${peer}.${key}`, label: '  times better', digits: 2 },
    ]);
    const beside = BESIDE.flatMap(([of, what, digits]): readonly Row[] => [
      { key: `${OURS}.${peer}.${of}`, label: `Millrace: 3 steps, saturated: ${what}`, digits },
      { key: `${peer}.${of}`, label: `${label}: 3 steps, saturated: ${what}`, digits },
    ]);
    return [...workloads, ...beside];
  });
}

function figures(rounds: readonly Figures[], sync: Sync | undefined): readonly Figure[] {
  const of = sync ?? 'lazy';
  return peers().flatMap((peer) =>
    workloadsFor(peer, of, false).flatMap(({ key, figure, unit }) => {
      const keys = { value: `${OURS}.${peer}.${key}`, ratio: `ratio.${peer}.${key}` };
      const found = figureOf(rounds, keys, { figure: figure(of), unit, against: peer });
      // Payloads of 128 bytes are what the workloads without a size have.
      const same =
        key === 'rate3' && of === 'lazy' && found !== undefined ? [{ ...found, figure: 'payload.128.rate' }] : [];
      return [...figuresOf(found), ...same];
    }),
  );
}

export const functionsBenchmark: FreeBenchmark = {
  name: 'functions',
  what: 'durable functions, beside Restate, DBOS, Temporal and BullMQ flows through the same driver',
  kind: 'free',
  syncs: SYNCS,
  quickSyncs: ['lazy'],
  rows: rows(),
  limitSeconds: 900,
  quickSeconds: 150,
  maxRounds: 2,
  figures,
  round,
};
