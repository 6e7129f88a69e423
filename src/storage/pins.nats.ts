/**
 * Pins: runs that retention leaves alone. They are keys of the bucket `millrace_retention`, so that pinning works for declared
 * workflows and durable functions alike, whatever the run's state, and needs no controller.
 */
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import type { RunRef } from '../engine/index.ts';
import { RETENTION_BUCKET } from '../kernel/index.ts';
import { asked } from './failure.nats.ts';
import type { Pins } from './sweep.ts';

/** A pin as stored. */
export interface Pin extends RunRef {
  readonly by: string;
  readonly reason?: string;
  /** When it was pinned, ms since the epoch, the server's time. */
  readonly at: number;
}

const PREFIX = 'pin.';
const keyOf = ({ workflow, runId }: RunRef): string => `${PREFIX}${workflow}.${runId}`;

/** The bucket; created when it is not there. */
export function retentionBucket(nc: NatsConnection): Promise<KV> {
  return asked('open the retention bucket', () =>
    new Kvm(nc).create(RETENTION_BUCKET, { description: 'Pins of runs, and who purges', history: 1 }),
  );
}

function refOf(key: string): RunRef | undefined {
  const [, workflow, runId] = key.split('.');
  return workflow === undefined || runId === undefined ? undefined : { workflow, runId };
}

export interface PinStore {
  /** Pins the run; pinning it again replaces who and why. */
  pin(run: RunRef, by: string, reason?: string): Promise<void>;
  /** @returns false when it was not pinned */
  unpin(run: RunRef): Promise<boolean>;
  /** All pins, oldest first. */
  list(): Promise<readonly Pin[]>;
}

/** @throws MillraceError MR_NATS from each of its calls */
export async function openPins(nc: NatsConnection): Promise<PinStore> {
  const kv = await retentionBucket(nc);
  return {
    async pin(run, by, reason) {
      const value = JSON.stringify({ by, ...(reason === undefined ? {} : { reason }) });
      await asked(`pin run ${run.runId}`, () => kv.put(keyOf(run), value));
    },
    async unpin(run) {
      return asked(`unpin run ${run.runId}`, async () => {
        const entry = await kv.get(keyOf(run));
        if (entry === null || entry.operation !== 'PUT') return false;
        await kv.purge(keyOf(run)); // leaves no trace of runs that will soon be gone
        return true;
      });
    },
    async list() {
      return asked('list the pins', async () => {
        const pins: Pin[] = [];
        for await (const key of await kv.keys(`${PREFIX}>`)) {
          const run = refOf(key);
          const entry = await kv.get(key);
          if (run === undefined || entry === null || entry.operation !== 'PUT') continue;
          pins.push({ ...run, ...entry.json<{ by: string; reason?: string }>(), at: entry.created.getTime() });
        }
        return pins.sort((a, b) => a.at - b.at);
      });
    },
  };
}

/** The pins as they are now and become; complete once it is given. */
export async function watchPins(kv: KV): Promise<Pins & { stop(): void; readonly ended: Promise<void> }> {
  const pinned = new Set<string>();
  const id = ({ workflow, runId }: RunRef): string => `${workflow}.${runId}`;
  for await (const key of await asked('list the pins', () => kv.keys(`${PREFIX}>`)))
    pinned.add(key.slice(PREFIX.length));
  const updates = await asked('watch the pins', () => kv.watch({ key: `${PREFIX}>`, ignoreDeletes: false }));
  const ended = (async () => {
    for await (const { key, operation } of updates) {
      if (operation === 'PUT') pinned.add(key.slice(PREFIX.length));
      else pinned.delete(key.slice(PREFIX.length));
    }
  })();
  return { has: (workflow, runId) => pinned.has(id({ workflow, runId })), stop: () => updates.stop(), ended };
}
