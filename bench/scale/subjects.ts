/**
 * What subjects cost a nats-server: one message on each of so many subjects of a stream, as logs and inputs of runs are. Memory of the
 * server, disk, the time of looking one up, and of a restart.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type NatsDoor, openPublisher } from '../../src/drivers/index.ts';
import { timed } from '../benchmark.ts';
import { percentile } from '../summary.ts';
import { readProcess, readServer } from './reads.ts';
import { openRig } from './rig.ts';
import { shapeOf } from './shape.ts';

export interface SubjectsOptions {
  readonly dir: string;
  /** How many subjects at each look, ascending. */
  readonly counts: readonly number[];
  progress(text: string): void;
  onAbort(stop: () => Promise<void>): void;
}

export interface SubjectsLook {
  readonly subjects: number;
  readonly perSecond: number;
  readonly serverRssMb: number;
  readonly streamMb: number;
  readonly diskMb: number;
  /** The last message of a subject, asked of the stream's leader. */
  readonly getP50Ms: number;
  /** kill and start of the server until it says that JetStream is well; its memory then. */
  readonly restartSeconds: number;
  readonly restartRssMb: number;
}

const STREAM = 'SUBJECTS';
const BYTES = new TextEncoder().encode('x'.repeat(200));
const AT_ONCE = 1_000;
const GETS = 300;

function diskOf(path: string): number {
  return readdirSync(path, { withFileTypes: true }).reduce((sum, entry) => {
    const name = join(path, entry.name);
    return sum + (entry.isDirectory() ? diskOf(name) : entry.isFile() ? statSync(name).size : 0);
  }, 0);
}

/** The connection repairs itself; requests made meanwhile fail. */
async function connectedAgain(nc: NatsDoor['nc']): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const answered = await nc.rtt().catch(() => undefined);
    if (answered !== undefined) return;
    await pause(50);
  }
  throw new Error('the connection does not come back');
}

export async function subjects(options: SubjectsOptions): Promise<readonly SubjectsLook[]> {
  const { dir, counts, progress, onAbort } = options;
  const rig = await openRig({
    dir,
    sync: 'lazy',
    shape: shapeOf('declared'),
    build: { bin: '', remove: async () => {} },
  });
  onAbort(rig.close);
  try {
    const { door, nats } = rig;
    await door.jsm.streams.add({ name: STREAM, subjects: ['wf.subjects.log.*'], duplicate_window: 120_000_000_000 });
    const publisher = openPublisher(door.nc);
    const looks: SubjectsLook[] = [];
    let have = 0;
    const subjectOf = (i: number): string => `wf.subjects.log.r${i.toString(36).padStart(12, '0')}`;
    for (const count of counts) {
      const from = have;
      const seconds = await timed(count - from, AT_ONCE, async (i) => {
        const stored = await publisher.publish(subjectOf(from + i), BYTES, {});
        if (stored.kind !== 'stored') throw new Error(stored.reason);
      });
      have = count;
      const serverRssMb = readProcess(nats.pid).rssMb;
      const times: number[] = [];
      for (let i = 0; i < GETS; i++) {
        const begun = performance.now();
        await door.jsm.streams.getMessage(STREAM, { last_by_subj: subjectOf(Math.floor(Math.random() * count)) });
        times.push(performance.now() - begun);
      }
      const { bytes } = await readServer(rig.monitor);
      const begun = performance.now();
      await nats.restart();
      const restartSeconds = (performance.now() - begun) / 1_000;
      looks.push({
        subjects: count,
        perSecond: (count - from) / seconds,
        serverRssMb,
        streamMb: bytes / 1e6,
        diskMb: diskOf(join(dir, 'nats', 'jetstream')) / 1e6,
        getP50Ms: percentile(times, 50),
        restartSeconds,
        restartRssMb: readProcess(nats.pid).rssMb,
      });
      progress(`${count.toLocaleString('en')} subjects: server ${serverRssMb.toFixed(0)} MB`);
      await connectedAgain(door.nc);
    }
    publisher.close();
    return looks;
  } finally {
    await rig.close();
  }
}
