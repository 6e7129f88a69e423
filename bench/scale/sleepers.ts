/**
 * Runs that sleep for years, ten thousand and a million of them: what they take of the controller, the server and the disk, and
 * whether they make the starts of others slower.
 *
 * Two systems run side by side, each a server, a controller and a worker of its own. One gets the sleepers, the other none; what is
 * compared is run on both in turns. The runs that are started live in the same workflow, thus the same stream, as the sleepers. Both
 * sync lazily: a million runs are five million messages, and what syncing them costs is not the question here.
 */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { ServerHandle } from '../../ops/stack/index.ts';
import type { Definition } from '../../src/engine/index.ts';
import { inTurn, PARTS, timed } from '../benchmark.ts';
import { percentile } from '../summary.ts';
import { build } from './build.ts';
import { type Load, openLoad } from './load.ts';
import { readProcess, readServer } from './reads.ts';
import { openRig, type Rig } from './rig.ts';
import { inputsOf, type Shape } from './shape.ts';

export interface SleepersOptions {
  readonly dir: string;
  readonly shape: Shape;
  /** How many sleep at each look, ascending. */
  readonly counts: readonly number[];
  /** Runs started on each side at each look. */
  readonly starts: number;
  progress(text: string): void;
  onAbort(stop: () => Promise<void>): void;
}

/** One look, with so many asleep. */
export interface SleepersLook {
  readonly sleeping: number;
  /** Seconds since the look before; how fast they were created then. */
  readonly createdPerSecond: number;
  /** Starts to ends of short runs in the same workflow, with sleepers and without any. */
  readonly startsPerSecond: number;
  readonly startsBeside: number;
  readonly startMs: number;
  readonly startMsBeside: number;
  /** Of whoever decides on the runs (the controller): now, and the most it ever had. */
  readonly driverRssMb: number;
  readonly driverPeakMb: number;
  readonly driverRssMbBeside: number;
  /** 0 where drivers do the steps. */
  readonly workerRssMb: number;
  readonly serverRssMb: number;
  readonly serverRssMbBeside: number;
  /** In the streams of the server, all of them. */
  readonly messages: number;
  readonly streamMb: number;
}

export interface SleepersResult {
  readonly looks: readonly SleepersLook[];
  /** Of a driver started anew while all of them sleep: ready after so many seconds, and its memory when it was. */
  readonly restartSeconds: number;
  readonly restartRssMb: number;
}

const AT_ONCE = 64;
const CREATE_AT_ONCE = 512;
const ALONE = 60;
/** Starts stored and not handled yet beyond this wait: what is measured is runs asleep, not a backlog. */
const BACKLOG = 20_000;

interface Side {
  readonly rig: Rig;
  readonly load: Load;
  readonly driver: ServerHandle;
  readonly worker: ServerHandle | undefined;
}

async function openSide(options: SleepersOptions, name: string, bin: Awaited<ReturnType<typeof build>>): Promise<Side> {
  const { dir, shape, onAbort } = options;
  const rig = await openRig({ dir: join(dir, name), sync: 'lazy', shape, build: bin });
  onAbort(rig.close);
  const definition = shape.definition('nap');
  await rig.apply(definition);
  const driver = await rig.startDriver('driver');
  const worker = await rig.startWorker('worker');
  return { rig, load: openLoad(rig.door, shape, definition), driver, worker };
}

const awake = { nap: false } as const;

export async function sleepers(options: SleepersOptions): Promise<SleepersResult> {
  const { shape, counts, progress, onAbort } = options;
  const bin = await build();
  onAbort(bin.remove);
  const sides: Side[] = [];
  try {
    const full = await openSide(options, 'full', bin);
    sides.push(full);
    const empty = await openSide(options, 'empty', bin);
    sides.push(empty);
    const definition = shape.definition('nap');
    for (const { load } of sides) await load.runs(200, AT_ONCE, awake);
    const looks: SleepersLook[] = [];
    let sleeping = 0;
    for (const count of counts) {
      const begun = performance.now();
      const created = count - sleeping;
      await create(full, definition, created, (done) =>
        progress(
          `${(sleeping + done).toLocaleString('en')} asleep (${Math.round((performance.now() - begun) / 1_000)} s)`,
        ),
      );
      sleeping = count;
      looks.push(await look(options, full, empty, sleeping, (created * 1_000) / (performance.now() - begun)));
    }
    const again = await restart(full);
    return { looks, ...again };
  } finally {
    for (const { load, rig } of sides) {
      load.close();
      await rig.close();
    }
    await bin.remove();
  }
}

async function create(
  { rig, load }: Side,
  definition: Definition,
  count: number,
  told: (done: number) => void,
): Promise<void> {
  const { stream, consumer } = inputsOf(definition);
  const backlog = async (): Promise<number> => {
    const { num_pending, num_ack_pending } = await rig.door.jsm.consumers.info(stream, consumer);
    return num_pending + num_ack_pending;
  };
  const CHUNK = 5_000;
  for (let done = 0; done < count; done += CHUNK) {
    await timed(Math.min(CHUNK, count - done), CREATE_AT_ONCE, () => load.start({ nap: true }));
    while ((await backlog()) > BACKLOG) await pause(50);
    if (done % 50_000 === 0) told(done);
  }
  while ((await backlog()) > 0) await pause(50);
  told(count);
}

async function look(
  { starts }: SleepersOptions,
  full: Side,
  empty: Side,
  sleeping: number,
  createdPerSecond: number,
): Promise<SleepersLook> {
  // What creation left behind (garbage, compactions, flushes) is not what sleeping runs cost.
  for (const { load } of [full, empty]) await load.runs(200, AT_ONCE, awake);
  const [slow, plain] = await inTurn(
    () => full.load.runs(starts, AT_ONCE, awake),
    () => empty.load.runs(starts, AT_ONCE, awake),
  );
  const [times, plainTimes]: [number[], number[]] = [[], []];
  await inTurn(
    () => full.load.runs(ALONE, 1, awake, times),
    () => empty.load.runs(ALONE, 1, awake, plainTimes),
  );
  const driver = readProcess(full.driver.pid);
  const server = await readServer(full.rig.monitor);
  return {
    sleeping,
    createdPerSecond,
    startsPerSecond: (starts * PARTS) / slow,
    startsBeside: (starts * PARTS) / plain,
    startMs: percentile(times, 50),
    startMsBeside: percentile(plainTimes, 50),
    driverRssMb: driver.rssMb,
    driverPeakMb: driver.peakRssMb,
    driverRssMbBeside: readProcess(empty.driver.pid).rssMb,
    workerRssMb: full.worker === undefined ? 0 : readProcess(full.worker.pid).rssMb,
    serverRssMb: readProcess(full.rig.nats.pid).rssMb,
    serverRssMbBeside: readProcess(empty.rig.nats.pid).rssMb,
    messages: server.messages,
    streamMb: server.bytes / 1e6,
  };
}

/** The driver killed and started again, and a run through it. */
async function restart({ rig, driver, load }: Side): Promise<Pick<SleepersResult, 'restartSeconds' | 'restartRssMb'>> {
  await driver.kill();
  const begun = performance.now();
  const handle = await rig.startDriver('driver-again');
  await load.run(awake);
  const restartSeconds = (performance.now() - begun) / 1_000;
  return { restartSeconds, restartRssMb: readProcess(handle.pid).rssMb };
}
