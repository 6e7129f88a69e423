/** Chains of worker steps, and runs of them, so many open at a time. */
import type { NatsDoor } from '../src/drivers/index.ts';
import type { Definition, Journal } from '../src/engine/index.ts';
import { CONTROLLER_CONSUMER, runEventSubject, workflowStream } from '../src/kernel/index.ts';
import { sealDefinition } from '../src/manifests/index.ts';
import { timed } from './benchmark.ts';

/** Whose tasks these are. */
export const QUEUE = 'bench';
const RETRY = { initialMs: 100, factor: 2, maxMs: 1_000, jitter: 0, maxAttempts: 3, maxLost: 3 } as const;

/** A chain of worker steps. */
export function chain(name: string, steps: number): Definition {
  const all = Array.from({ length: steps }, (_, i) => ({
    name: `s${i + 1}`,
    needs: i === 0 ? [] : [`s${i}`],
    action: { kind: 'worker' as const, handler: 'bench.step', queue: QUEUE },
    retry: RETRY,
  }));
  return sealDefinition({ name, deadLetter: false, triggers: [], steps: all });
}

export interface Load {
  /** Starts `count` runs, `atOnce` of them open at any time; gives the seconds, and each run's ms to `times`. */
  runs(count: number, atOnce: number, times?: number[]): Promise<number>;
  close(): void;
}

/** Starts runs and waits for the event that each has completed. */
export function openLoad(door: NatsDoor, { name: workflow, digest }: Definition, journal: Pick<Journal, 'send'>): Load {
  const open = new Map<string, () => void>();
  const ended = door.nc.subscribe(runEventSubject(workflow, 'x', 'completed').replace('.x.', '.*.'), {
    callback: (_error, msg) => open.get(msg.subject.split('.')[3] ?? '')?.(),
  });
  let number = 0;
  const one = async (): Promise<number> => {
    const runId = `r${Date.now().toString(36)}${(number++).toString(36)}`;
    const begun = performance.now();
    const done = new Promise<void>((resolve) => open.set(runId, resolve));
    const start = { v: 1, kind: 'start', digest, payload: { n: number } } as const;
    await journal.send({ workflow, runId }, start, { msgId: `start:${runId}` });
    await done;
    open.delete(runId);
    return performance.now() - begun;
  };
  return {
    runs: (count: number, atOnce: number, times: number[] = []): Promise<number> =>
      timed(count, atOnce, async () => times.push(await one())),
    close: () => ended.unsubscribe(),
  };
}

/** Messages that one run stores, over all streams. */
export async function messagesPerRun(door: NatsDoor, workflow: string, load: Load): Promise<number> {
  await quiet(door, workflow);
  const before = await stored(door);
  await load.runs(20, 1);
  await quiet(door, workflow);
  return ((await stored(door)) - before) / 20;
}

/** Waits until every input is acknowledged: its entry and its events are stored then. */
async function quiet(door: NatsDoor, workflow: string): Promise<void> {
  for (;;) {
    const info = await door.jsm.consumers.info(workflowStream(workflow), CONTROLLER_CONSUMER);
    if (info.num_pending + info.num_ack_pending === 0) return;
  }
}

/** Messages ever stored in the server's streams. */
async function stored(door: NatsDoor): Promise<number> {
  let sum = 0;
  for await (const stream of door.jsm.streams.list()) sum += stream.state.last_seq;
  return sum;
}
