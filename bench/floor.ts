/** The floor: plain acknowledged publishes of a journal entry's size, one after another and many in flight. */
import type { NatsDoor } from '../src/drivers/index.ts';

const STREAM = 'BENCH_FLOOR';
const PAYLOAD = new TextEncoder().encode(
  JSON.stringify({ v: 1, kind: 'task.succeeded', step: 's1', text: 'x'.repeat(200) }),
);

export async function prepareFloor(door: NatsDoor): Promise<void> {
  await door.jsm.streams.add({ name: STREAM, subjects: ['bench.floor.*'], storage: 'file' });
}

/** Publishes `count` messages with `atOnce` in flight; gives the seconds it took. */
export async function floor(door: NatsDoor, count: number, atOnce: number): Promise<number> {
  const begun = performance.now();
  let left = count;
  const lane = async (): Promise<void> => {
    while (left-- > 0) await door.js.publish('bench.floor.a', PAYLOAD);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
  return (performance.now() - begun) / 1_000;
}
