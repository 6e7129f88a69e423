/**
 * The floor: plain acknowledged publishes of a journal entry's size. A run's messages go to three streams, which the
 * server syncs side by side, so the floor's do as well, in the same proportions.
 */
import type { NatsDoor } from '../src/drivers/index.ts';
import { timed } from './benchmark.ts';

/** Of every 22 messages of a run with three steps: 8 inputs and entries, 3 tasks, 11 events. */
const SHARES: readonly (readonly [stream: string, share: number])[] = [
  ['a', 8],
  ['b', 3],
  ['c', 11],
];
const SUBJECTS = SHARES.flatMap(([name, share]) =>
  Array.from({ length: share }, (_, i) => ({ subject: `bench.floor.${name}`, at: (i + 0.5) / share })),
)
  .sort((one, other) => one.at - other.at)
  .map(({ subject }) => subject);
const PAYLOAD = new TextEncoder().encode(
  JSON.stringify({ v: 1, kind: 'task.succeeded', step: 's1', text: 'x'.repeat(200) }),
);

export async function prepareFloor(door: NatsDoor): Promise<void> {
  for (const [name] of SHARES) {
    await door.jsm.streams.add({ name: `BENCH_FLOOR_${name}`, subjects: [`bench.floor.${name}`], storage: 'file' });
  }
}

/** Publishes `count` messages with `atOnce` in flight; gives the seconds it took. */
export function floor(door: NatsDoor, count: number, atOnce: number): Promise<number> {
  return timed(count, atOnce, (i) => door.js.publish(SUBJECTS[i % SUBJECTS.length] ?? '', PAYLOAD));
}
