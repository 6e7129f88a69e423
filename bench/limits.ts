/**
 * What the server can take: messages of 128 B with acknowledgement to one file stream, from `nats bench` (a Go program), from a
 * hand-rolled loop on the client library's plain publish, and from its `js.publish`. Nothing of the engine takes part; its own
 * figures are held against these.
 *
 * 1. All publish to the same stream of the same server, new in every round.
 * 2. Each has two laps, the second in reverse order, so that what else the machine does falls on all of them.
 * 3. Every acknowledgement of the loop is looked at: one that is an error ends the round.
 */
import { createInbox, type NatsConnection } from 'nats';
import { provisionPart } from '../ops/provision/index.ts';
import { startNats } from '../ops/stack/index.ts';
import { connectNats, type NatsDoor } from '../src/drivers/index.ts';
import {
  amount,
  type Figure,
  type FreeBenchmark,
  type FreeContext,
  figureOf,
  figuresOf,
  type Sync,
  timed,
} from './benchmark.ts';
import { natsBench, type PublishMode } from './nats-bench.ts';
import type { Figures, Row } from './summary.ts';

const STREAM = 'BENCH_LIMITS';
const SUBJECT = 'bench.limits';
const BYTES = 128;
const MANY = 500;
const WARM = 0.1;

interface Lap {
  readonly key: string;
  readonly label: string;
  /** Messages of one lap under each setting. */
  readonly full: Readonly<Record<Sync, number>>;
  /** Gives messages per second. */
  rate(at: Place, count: number): Promise<number>;
}

/** Where the laps run. */
interface Place {
  readonly door: NatsDoor;
  readonly dir: string;
  /** The `nats` program; undefined when it cannot be had. */
  readonly command: string | undefined;
}

/** A loop of our own: one subscription for all answers, and each answer sends the next message. Gives seconds. */
export function handRolled(
  nc: NatsConnection,
  subject: string,
  bytes: Uint8Array,
  count: number,
  atOnce: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const reply = createInbox();
    let [sent, answered] = [0, 0];
    const send = (): void => {
      sent++;
      nc.publish(subject, bytes, { reply });
    };
    const answers = nc.subscribe(reply, {
      callback: (error, { data }) => {
        const refused = error ?? refusal(data);
        if (refused !== undefined) {
          answers.unsubscribe();
          reject(refused);
          return;
        }
        answered++;
        if (sent < count) send();
        else if (answered === count) {
          answers.unsubscribe();
          resolve((performance.now() - begun) / 1_000);
        }
      },
    });
    const begun = performance.now();
    while (sent < Math.min(atOnce, count)) send();
  });
}

const E = 'e'.charCodeAt(0);

/** An acknowledgement begins with `{"stream"`, a refusal with `{"error"`; nobody listening is no bytes at all. */
function refusal(data: Uint8Array): Error | undefined {
  if (data.length === 0) return new Error('no stream took the message');
  return data[2] === E ? new Error(`the server refused a message: ${new TextDecoder().decode(data)}`) : undefined;
}

const bytes = new Uint8Array(BYTES).fill('x'.charCodeAt(0));

function loop(key: string, atOnce: number, full: Lap['full']): Lap {
  return {
    ...{ key, label: `hand-rolled loop, ${atOnce} in flight, msg/s`, full },
    rate: async ({ door }, count) => count / (await handRolled(door.nc, SUBJECT, bytes, count, atOnce)),
  };
}

function library(key: string, atOnce: number, full: Lap['full']): Lap {
  return {
    ...{ key, label: `js.publish, ${atOnce} in flight, msg/s`, full },
    rate: async ({ door }, count) => count / (await timed(count, atOnce, () => door.js.publish(SUBJECT, bytes))),
  };
}

function tool(mode: PublishMode, label: string, full: Lap['full']): Lap {
  return {
    ...{ key: `bench.${mode}`, label: `nats bench js pub ${mode}${label}, msg/s`, full },
    async rate({ door, dir, command = '' }, count) {
      const options = { command, url: door.url, dir, mode, stream: STREAM, subject: SUBJECT };
      return natsBench({ ...options, messages: count, bytes: BYTES, batch: MANY });
    },
  };
}

const LAPS: readonly Lap[] = [
  tool('async', `, batch ${MANY}`, { lazy: 100_000, always: 4_000 }),
  loop(`loop.${MANY}`, MANY, { lazy: 60_000, always: 4_000 }),
  library(`js.${MANY}`, MANY, { lazy: 30_000, always: 4_000 }),
  tool('sync', ', one after another', { lazy: 5_000, always: 1_000 }),
  loop('loop.1', 1, { lazy: 4_000, always: 1_000 }),
  library('js.1', 1, { lazy: 4_000, always: 1_000 }),
  tool('atomic', `, batch ${MANY}`, { lazy: 50_000, always: 15_000 }),
  tool('fast', `, batch ${MANY}`, { lazy: 100_000, always: 4_000 }),
];

const isTool = ({ key }: Lap): boolean => key.startsWith('bench.');

/** Laps there and back, in harmonic mean: messages of both over seconds of both. */
async function measure(at: Place, sync: Sync, scale: number): Promise<Figures> {
  const laps = LAPS.filter((lap) => !isTool(lap) || at.command !== undefined);
  for (const lap of laps) await lap.rate(at, amount(lap.full[sync] * WARM, scale));
  const seconds: Record<string, number> = {};
  const count = (lap: Lap): number => Math.max(MANY, amount(lap.full[sync], scale));
  for (const lap of [...laps, ...laps.toReversed()]) {
    seconds[lap.key] = (seconds[lap.key] ?? 0) + count(lap) / (await lap.rate(at, count(lap)));
  }
  const figures: Record<string, number> = {};
  for (const lap of laps) figures[lap.key] = (2 * count(lap)) / (seconds[lap.key] ?? Number.NaN);
  for (const { key, of, than } of RATIOS) {
    const [ours, theirs] = [figures[of], figures[than]];
    if (ours !== undefined && theirs !== undefined) figures[key] = ours / theirs;
  }
  return figures;
}

interface Ratio {
  readonly key: string;
  readonly of: string;
  readonly than: string;
  readonly label: string;
  readonly figure: (sync: Sync) => string;
  readonly against: string;
}

const RATIOS: readonly Ratio[] = [
  {
    ...{ key: 'loop/bench', of: `loop.${MANY}`, than: 'bench.async', label: '  ratio loop / nats bench async' },
    ...{ figure: (sync) => `limits.rate.${sync}`, against: `nats bench js pub async, batch ${MANY}` },
  },
  {
    ...{
      key: 'loop/js',
      of: `loop.${MANY}`,
      than: `js.${MANY}`,
      label: `  ratio loop / js.publish, ${MANY} in flight`,
    },
    ...{ figure: (sync) => `limits.rate.${sync}`, against: `js.publish, ${MANY} in flight` },
  },
  {
    ...{ key: 'loop1/bench', of: 'loop.1', than: 'bench.sync', label: '  ratio loop / nats bench sync, 1 in flight' },
    ...{ figure: (sync) => `limits.alone.${sync}`, against: 'nats bench js pub sync' },
  },
];

async function round(context: FreeContext): Promise<Figures> {
  const { sync = 'lazy', scale, dir } = context;
  const part = await provisionPart('natscli');
  if (part.status === 'available') context.describe('nats bench', `natscli ${part.version}`);
  else {
    for (const { figure, against } of RATIOS.filter(({ than }) => than.startsWith('bench.'))) {
      context.missing({ figure: figure(sync), against, sentence: part.reason });
    }
  }
  // The last of two settings in a server's configuration counts; two minutes is the server's own default.
  const extra = sync === 'always' ? {} : { extraConf: 'jetstream { sync_interval: "2m" }' };
  const nats = await startNats({ dir, ...extra });
  context.onAbort(() => nats.stop());
  try {
    const door = await connectNats({ url: nats.url, name: 'bench' });
    try {
      await door.jsm.streams.add({
        ...{ name: STREAM, subjects: [SUBJECT], storage: 'file', max_bytes: 1_073_741_824 },
        ...{ allow_atomic: true, allow_batched: true },
      });
      const command = part.status === 'available' ? part.command : undefined;
      return await measure({ door, dir, command }, sync, scale);
    } finally {
      await door.close();
    }
  } finally {
    await nats.stop();
  }
}

function figures(rounds: readonly Figures[], sync: Sync = 'lazy'): readonly Figure[] {
  return figuresOf(
    ...RATIOS.map(({ key, of, figure, against }) =>
      figureOf(rounds, { value: of, ratio: key }, { figure: figure(sync), unit: 'msg/s', against }),
    ),
  );
}

export const limitsBenchmark: FreeBenchmark = {
  name: 'limits',
  what: `what the server takes: ${BYTES} B messages with acknowledgement to one file stream, no engine`,
  kind: 'free',
  syncs: ['lazy', 'always'],
  rows: [
    ...LAPS.map(({ key, label }): Row => ({ key, label, digits: 0 })),
    ...RATIOS.map(({ key, label }): Row => ({ key, label, digits: 2 })),
  ],
  limitSeconds: 300,
  figures,
  round,
};
