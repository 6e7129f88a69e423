/**
 * A controller that dies in the middle of load, with thousands of runs open, and is started again: how long until the new process
 * makes its first transition, and until every run has moved on and ended.
 *
 * All runs are brought to a signal step first (a step, a sleep, the gate). Then every one gets its signal as fast as they can be
 * stored; when a fifth have gone through the gate the controller is killed with SIGKILL and a new process is started at once. The
 * time begins when that process is launched, so its own start (Node, modules, connection, consumers) is in it.
 */
import { timed } from '../benchmark.ts';
import type { Sync } from '../systems/system.ts';
import { openLoad } from './load.ts';
import { metricOf, readProcess, textOf } from './reads.ts';
import { openRig, type Rig } from './rig.ts';
import { inputsOf, type Shape } from './shape.ts';
import { type RunWatch, watchRuns } from './watch.ts';

export interface ColdOptions {
  readonly dir: string;
  readonly sync: Sync;
  readonly shape: Shape;
  readonly runs: number;
  progress(text: string): void;
  onAbort(stop: () => Promise<void>): void;
}

export interface ColdResult {
  readonly runs: number;
  /** Seconds it took to bring all of them to the gate. */
  readonly openedSeconds: number;
  /** Runs not ended when the process was killed. */
  readonly openAtKill: number;
  /** Deliveries that the dead process held and had not acknowledged. */
  readonly heldAtKill: number;
  /** Seconds from the launch of the new process. */
  readonly readySeconds: number;
  readonly firstSeconds: number;
  readonly movedSeconds: number;
  readonly allSeconds: number;
  /** Times the new process had to look up earlier inputs of a run. */
  readonly lookups: number;
  readonly peakRssMb: number;
}

const AT_ONCE = 256;
const DEADLINE_MS = 240_000;

export async function cold(options: ColdOptions): Promise<ColdResult> {
  const { dir, sync, shape, runs, progress, onAbort } = options;
  const rig = await openRig({ dir, sync, shape });
  onAbort(rig.close);
  try {
    const definition = shape.definition('gate');
    await rig.apply(definition);
    const watch = watchRuns(rig.door, definition.name);
    const load = openLoad(rig.door, shape, definition);
    const driver = await rig.startDriver('driver-1');
    await rig.startWorker('worker');
    const ids: string[] = [];
    const begun = performance.now();
    await timed(runs, AT_ONCE, async () => ids.push(await load.start({ n: 1 })));
    await watch.until('all runs at the gate', () => watch.atGate.size >= runs, DEADLINE_MS);
    const openedSeconds = (performance.now() - begun) / 1_000;
    progress(`${runs} runs at their gate after ${openedSeconds.toFixed(1)} s`);

    watch.mark();
    let next = 0;
    const signals = timed(runs, AT_ONCE, () => load.signal(ids[next++] ?? '', 'go'));
    await watch.until('a fifth through the gate', () => watch.moved.size >= runs / 5, DEADLINE_MS);
    await driver.kill();
    const result = await restarted(rig, watch, inputsOf(definition), runs);
    await signals;
    load.close();
    watch.close();
    return { runs, openedSeconds, ...result };
  } finally {
    await rig.close();
  }
}

async function restarted(
  rig: Rig,
  watch: RunWatch,
  { stream, consumer }: { readonly stream: string; readonly consumer: string },
  runs: number,
): Promise<Omit<ColdResult, 'runs' | 'openedSeconds'>> {
  const held = rig.door.jsm.consumers.info(stream, consumer);
  await rig.door.nc.flush(); // what the dead process sent has gone by
  const endedBefore = new Set(watch.ended);
  const openAtKill = runs - endedBefore.size;
  watch.mark();
  const launched = performance.now();
  const since = (at: number): number => (at - launched) / 1_000;
  let readyAt = 0;
  const starting = rig.startDriver('driver-2').then((handle) => {
    readyAt = performance.now();
    return handle;
  });
  const allMoved = (): boolean => {
    let moved = 0;
    for (const runId of watch.moved) if (!endedBefore.has(runId)) moved++;
    return moved >= openAtKill;
  };
  await watch.until('every open run has moved on', allMoved, DEADLINE_MS);
  const movedAt = performance.now();
  await watch.until('every run has ended', () => watch.ended.size >= runs, DEADLINE_MS);
  const allAt = performance.now();
  const handle = await starting;
  return {
    openAtKill,
    heldAtKill: (await held).num_ack_pending,
    readySeconds: since(readyAt),
    firstSeconds: since(watch.firstAt ?? Number.NaN),
    movedSeconds: since(movedAt),
    allSeconds: since(allAt),
    lookups: metricOf(await textOf(`${handle.url}/metrics`), 'millrace_engine_lookups_total') ?? 0,
    peakRssMb: readProcess(handle.pid).peakRssMb,
  };
}
