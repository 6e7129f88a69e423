/** Runs as load: started through the journal, their ends seen on the wire. */
import type { NatsDoor } from '../../src/drivers/index.ts';
import { type Definition, openJournal } from '../../src/engine/index.ts';
import type { Json } from '../../src/kernel/index.ts';
import { timed } from '../benchmark.ts';
import { type Shape, startOf } from './shape.ts';

export interface Load {
  /** Stores the start of a run; gives its id. */
  start(payload: Json): Promise<string>;
  /** Starts a run and waits for its end; gives the ms from `since` (now, unless told). */
  run(payload: Json, since?: number): Promise<number>;
  /** `count` runs, `atOnce` open at any time; gives the seconds, and each run's ms to `times`. */
  runs(count: number, atOnce: number, payload: Json, times?: number[]): Promise<number>;
  signal(runId: string, name: string): Promise<void>;
  readonly open: number;
  close(): void;
}

let number = 0;
const prefix = `${process.pid.toString(36)}${Date.now().toString(36)}`;

export function openLoad(door: NatsDoor, shape: Shape, definition: Definition): Load {
  const { name: workflow } = definition;
  const journal = openJournal(door);
  const waiting = new Map<string, () => void>();
  const at = shape.endSubject(workflow).split('.').indexOf('*');
  const ends = door.nc.subscribe(shape.endSubject(workflow), {
    callback: (_error, msg) => {
      const done = waiting.get(msg.subject.split('.')[at] ?? '');
      if (done !== undefined && shape.isEnd(msg.data)) done();
    },
  });
  const send = (runId: string, payload: Json): Promise<unknown> =>
    journal.send({ workflow, runId }, startOf(definition, payload), { msgId: `start:${runId}` });
  const nextId = (): string => `r${prefix}-${(number++).toString(36)}`;
  const run = async (payload: Json, since = performance.now()): Promise<number> => {
    const runId = nextId();
    const done = new Promise<void>((resolve) => waiting.set(runId, resolve));
    try {
      await send(runId, payload);
      await done;
    } finally {
      waiting.delete(runId);
    }
    return performance.now() - since;
  };
  return {
    async start(payload) {
      const runId = nextId();
      await send(runId, payload);
      return runId;
    },
    run,
    runs: (count, atOnce, payload, times = []) => timed(count, atOnce, async () => times.push(await run(payload))),
    async signal(runId, name) {
      const body = { v: 1, kind: 'signal', name, payload: null } as const;
      await journal.send({ workflow, runId }, body, { msgId: `signal:${runId}:${name}` });
    },
    get open() {
      return waiting.size;
    },
    close() {
      ends.unsubscribe();
      journal.close();
    },
  };
}
