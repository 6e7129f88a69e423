/** One look at all processes of a soak. */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { ServerHandle } from '../../ops/stack/index.ts';
import type { Load } from './load.ts';
import {
  LOOP_LOOK_MS,
  machineCpu,
  type NodeReading,
  type ProcessReading,
  readNode,
  readProcess,
  readServer,
} from './reads.ts';
import type { Rig } from './rig.ts';
import type { NodeSample, Sample } from './verdict.ts';

interface Reading {
  readonly at: number;
  readonly process: ProcessReading;
  readonly node: NodeReading;
}

/** Looks at the processes again and again; each sample speaks of the time since the one before. */
export class Sampler {
  readonly #rig: Rig;
  readonly #load: Load;
  readonly #handles: readonly [ServerHandle, ServerHandle | undefined];
  readonly #before = new Map<number, Reading>();
  readonly #own: IntervalHistogram;
  readonly #begun: number;
  #machine = { ...machineCpu(), oursMs: 0 };

  /** @param begun the moment that samples count from, of `performance.now()` */
  constructor(rig: Rig, load: Load, driver: ServerHandle, worker: ServerHandle | undefined, begun: number) {
    this.#rig = rig;
    this.#load = load;
    this.#handles = [driver, worker];
    this.#begun = begun;
    this.#own = monitorEventLoopDelay({ resolution: LOOP_LOOK_MS });
    this.#own.enable();
  }

  async sample(): Promise<Sample> {
    const [driverHandle, workerHandle] = this.#handles;
    const [server, driver, worker] = await Promise.all([
      readServer(this.#rig.monitor),
      this.#node(driverHandle),
      workerHandle === undefined ? undefined : this.#node(workerHandle),
    ]);
    const { rssMb, cpuMs } = readProcess(this.#rig.nats.pid);
    const othersShare = this.#others(cpuMs + driver.cpuMs + (worker?.cpuMs ?? 0));
    const loopP99Ms = Math.max(0, this.#own.percentile(99) / 1e6 - LOOP_LOOK_MS);
    this.#own.reset();
    return {
      second: (performance.now() - this.#begun) / 1_000,
      driver,
      ...(worker === undefined ? {} : { worker }),
      server: { rssMb, cpuMs, messages: server.messages, streamMb: server.bytes / 1e6 },
      othersShare,
      bench: { rssMb: process.memoryUsage.rss() / 1e6, open: this.#load.open, loopP99Ms },
    };
  }

  /** @param theirsMs of the processes under test, since they began */
  #others(theirsMs: number): number {
    const { user, system } = process.cpuUsage();
    const now = { ...machineCpu(), oursMs: theirsMs + (user + system) / 1_000 };
    const before = this.#machine;
    this.#machine = now;
    const busyMs = now.busyMs - before.busyMs - (now.oursMs - before.oursMs);
    return now.allMs === before.allMs ? 0 : Math.max(0, busyMs / (now.allMs - before.allMs));
  }

  close(): void {
    this.#own.disable();
  }

  async #node({ pid, url }: ServerHandle): Promise<NodeSample> {
    const now: Reading = { node: await readNode(url), process: readProcess(pid), at: performance.now() };
    const before = this.#before.get(pid) ?? now;
    this.#before.set(pid, now);
    const share = (of: (reading: Reading) => number): number =>
      now === before ? 0 : (of(now) - of(before)) / (now.at - before.at);
    const { heapMb, externalMb, loopP99Ms } = now.node;
    return {
      ...{ rssMb: now.process.rssMb, cpuMs: now.process.cpuMs, heapMb, externalMb, loopP99Ms },
      waitShare: share((reading) => reading.process.mainWaitMs),
      gcShare: share((reading) => reading.node.gcMs),
    };
  }
}
