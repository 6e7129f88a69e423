/**
 * Appending to journals under the fence, beside two things that do the same to the same stream with the same bytes: a loop
 * written by hand on the client library's plain publish, which is the most it can give, and its `js.publish`.
 *
 * 1. All three append to runs of their own, each append expecting the one before: the server has the same work.
 * 2. They take turns, in every order, for the same time.
 * 3. The loop is written here and uses nothing of ours: no publisher, no encoder, no reader of acknowledgements.
 */
import { createInbox, headers } from 'nats';
import type { NatsDoor } from '../src/drivers/index.ts';
import { type Journal, type LogEntry, openJournal, workflowAssets } from '../src/engine/index.ts';
import { logSubject } from '../src/kernel/index.ts';
import { ensureAssets } from '../src/manifests/index.ts';
import { type Figure, figureOf, figuresOf, type ServerBenchmark, type Sync } from './benchmark.ts';
import { definition } from './engine.ts';
import type { Figures } from './summary.ts';

const IN_FLIGHT = [1, 64, 512, 1_000] as const;
const MOST = 1_000;
const WORKFLOW = 'bench-append';
/** Of one turn at full scale; each has three. */
const TURN_MS = 700;
/** Long enough for the journal to have found out how the server syncs. */
const WARM_MS = 1_500;

const ENTRY: LogEntry = {
  v: 1,
  cause: 1,
  at: 1_700_000_000_000,
  transitions: [
    { type: 'StepCompleted', step: 's1', attempt: 1, output: { rows: 221 } },
    { type: 'StepScheduled', step: 's2', attempt: 1, input: { rows: 221, text: 'x'.repeat(100) } },
  ],
};
const BYTES = new TextEncoder().encode(JSON.stringify(ENTRY));

/** Appends for so many ms with so many runs at once; gives appends per second. */
type Appender = (ms: number, atOnce: number, label: string) => Promise<number>;

/** Each lane is a run whose appends follow one another. */
function inLanes(append: (runId: string, last: number) => Promise<number>): Appender {
  return async (ms, atOnce, label) => {
    const begun = performance.now();
    let stored = 0;
    const lane = async (runId: string): Promise<void> => {
      for (let last = 0; performance.now() - begun < ms; stored++) last = await append(runId, last);
    };
    await Promise.all(Array.from({ length: atOnce }, (_, i) => lane(`${label}-${i}`)));
    return stored / ((performance.now() - begun) / 1_000);
  };
}

function throughJournal(journal: Journal): Appender {
  return inLanes(async (runId, last) => {
    const stored = await journal.append({ workflow: WORKFLOW, runId }, ENTRY, last);
    if (!stored.ok) throw new Error('a conflict, with nobody else appending');
    return stored.value;
  });
}

function throughLibrary(door: NatsDoor): Appender {
  return inLanes(async (runId, last) => {
    const options = { expect: { lastSubjectSequence: last } };
    return (await door.js.publish(logSubject(WORKFLOW, runId), BYTES, options)).seq;
  });
}

/** No promise and no object per message; the answer of a lane sends its next message. */
function byHand({ nc }: NatsDoor): Appender {
  return (ms, atOnce, label) =>
    new Promise((resolve, reject) => {
      const inbox = `${createInbox()}.`;
      let block = new Uint8Array(0);
      const carrier = Object.assign(headers(), { encode: (): Uint8Array => block });
      const subjects = Array.from({ length: atOnce }, (_, i) => logSubject(WORKFLOW, `${label}-${i}`));
      let [stored, open] = [0, 0];
      const send = (lane: number, last: number): void => {
        open++;
        block = Buffer.from(`NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: ${last}\r\n\r\n`);
        nc.publish(subjects[lane] ?? '', BYTES, { reply: inbox + lane, headers: carrier });
      };
      const end = (): void => {
        answers.unsubscribe();
        resolve(stored / ((performance.now() - begun) / 1_000));
      };
      const answers = nc.subscribe(`${inbox}*`, {
        callback: (error, msg) => {
          const ack = error === null ? msg.json<{ seq?: number; error?: { description: string } }>() : undefined;
          if (ack?.seq === undefined || ack.error !== undefined) {
            answers.unsubscribe();
            return reject(error ?? new Error(`refused: ${ack?.error?.description}`));
          }
          open--;
          stored++;
          if (performance.now() - begun < ms) send(Number(msg.subject.slice(inbox.length)), ack.seq);
          else if (open === 0) end();
        },
      });
      const begun = performance.now();
      for (let lane = 0; lane < atOnce; lane++) send(lane, 0);
    });
}

async function round(door: NatsDoor, scale: number): Promise<Figures> {
  await ensureAssets(door.nc, workflowAssets(definition(WORKFLOW)));
  const journal = openJournal(door);
  const contenders = [
    { name: 'hand', append: byHand(door) },
    { name: 'library', append: throughLibrary(door) },
    { name: 'append', append: throughJournal(journal) },
  ] as const;
  const ms = Math.max(150, TURN_MS * scale);
  try {
    for (const { name, append } of contenders) await append(name === 'append' ? WARM_MS : ms, MOST, `warm-${name}`);
    const figures: Record<string, number> = {};
    for (const atOnce of IN_FLIGHT) {
      const sums = { hand: 0, library: 0, append: 0 };
      for (let turn = 0; turn < contenders.length; turn++) {
        const order = [...contenders.slice(turn), ...contenders.slice(0, turn)];
        for (const { name, append } of order) sums[name] += await append(ms, atOnce, `n${atOnce}-${turn}-${name}`);
      }
      for (const { name } of contenders) figures[`${name}${atOnce}`] = sums[name] / contenders.length;
      figures[`share${atOnce}`] = sums.append / sums.hand;
      figures[`ratio${atOnce}`] = sums.append / sums.library;
    }
    return figures;
  } finally {
    journal.close();
  }
}

const NOTE = 'the same stream, bytes and expected sequences, in turns of the same length';

function figures(rounds: readonly Figures[], sync: Sync | undefined): readonly Figure[] {
  const unit = 'appends/s';
  const many = { value: `append${MOST}`, ratio: `share${MOST}` };
  const against = `hand-rolled publishes, ${MOST.toLocaleString('en')} in flight`;
  if (sync === 'lazy')
    return figuresOf(figureOf(rounds, many, { figure: 'append.lazy.share', unit, against, note: NOTE }));
  return figuresOf(
    figureOf(rounds, many, { figure: 'append.always.factor', unit, against, note: NOTE }),
    figureOf(
      rounds,
      { value: 'append1', ratio: 'ratio1' },
      { figure: 'append.always.alone', unit, against: 'js.publish, 1 in flight', note: NOTE },
    ),
  );
}

export const appendBenchmark: ServerBenchmark = {
  name: 'append',
  what: 'journal appends, beside a loop written by hand and js.publish, all with expected sequence',
  kind: 'server',
  rows: IN_FLIGHT.flatMap((n) => [
    { key: `hand${n}`, label: `by hand/s, ${n} in flight`, digits: 0 },
    { key: `library${n}`, label: `js.publish/s, ${n} in flight`, digits: 0 },
    { key: `append${n}`, label: `journal.append/s, ${n} in flight`, digits: 0 },
    { key: `share${n}`, label: `ratio append / by hand, ${n} in flight`, digits: 2 },
    { key: `ratio${n}`, label: `ratio append / js.publish, ${n} in flight`, digits: 2 },
  ]),
  figures,
  round,
};
