/** Child runs on a real server: the documented example, crashes around every entry, a cancel down the tree, what is missing. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type NatsDoor, systemClock } from '../../src/drivers/index.ts';
import {
  Controller,
  type Definition,
  fold,
  isEnded,
  type Journal,
  type Outbox,
  openJournal,
  openOutbox,
  type RunRef,
  type RunState,
  startController,
} from '../../src/engine/index.ts';
import { checkManifests, type DefinitionStore } from '../../src/manifests/index.ts';
import { attemptSpanId } from '../../src/telemetry/index.ts';
import {
  define,
  type NatsKit,
  PATIENT,
  type Recorder,
  recorder,
  type TinyWorker,
  tinyWorker,
  waitFor,
  withNats,
  workerStep,
} from '../kit/index.ts';

let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;
let worker: TinyWorker | undefined;
let stops: (() => Promise<void>)[] = [];
let runs = 0;

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  journal = openJournal(door);
});
afterAll(() => kit?.stop());
afterEach(async () => {
  await Promise.all(stops.map((stop) => stop()));
  stops = [];
  await worker?.stop();
  worker = undefined;
});

async function controller(definitions: DefinitionStore, into: Recorder = recorder()): Promise<void> {
  const service = await startController({ door: await kit.door('controller'), definitions, telemetry: into.telemetry });
  stops.push(() => service.stop());
}

async function start({ name, digest }: Definition, payload = {}): Promise<RunRef> {
  const run = { workflow: name, runId: `run${++runs}` };
  await journal.send(run, { v: 1, kind: 'start', digest, payload }, { msgId: `start:${run.runId}` });
  return run;
}

const stateOf = async (run: RunRef): Promise<RunState> => fold(run.workflow, run.runId, await journal.entries(run));
const ended = (run: RunRef): Promise<RunState> =>
  waitFor(`the end of ${run.runId}`, async () => {
    const state = await stateOf(run);
    return isEnded(state) ? state : undefined;
  });
const childOf = (run: RunRef, step: string): Promise<RunRef> =>
  waitFor(`the child of ${run.runId}`, async () => {
    const child = (await stateOf(run)).steps[step]?.child;
    if (child === undefined) return undefined;
    return (await stateOf(child)).status === 'new' ? undefined : { workflow: child.workflow, runId: child.runId };
  });

describe('the example of docs/manifests.md', () => {
  it('runs: an output goes up, nobody waits for the detached one, spans hang below the attempt', async () => {
    const [text = ''] = /(?<=```yaml\n)apiVersion[^`]*?workflow: invoice[\s\S]*?(?=```)/.exec(
      readFileSync('docs/manifests.md', 'utf8'),
    ) ?? [''];
    const { definitions, problems } = checkManifests([{ file: 'parcels.yaml', text }]);
    expect(problems.map(({ rule }) => rule)).toEqual(['child-workflow', 'child-workflow']);
    const [parcels] = definitions;
    if (parcels === undefined) throw new Error('no definition');
    const store = await kit.prepare([
      parcels,
      define('invoice', [workerStep('total')]),
      define('survey', [workerStep('ask')]),
    ]);
    worker = await tinyWorker({ door, work: ({ step }) => (step === 'total' ? { cents: 4_200 } : { asked: true }) });
    const seen = recorder();
    await controller(store, seen);
    const run = await start(parcels, { id: 'o7' });
    const state = await ended(run);
    expect(state.status).toBe('completed');
    expect(state.steps['invoice']?.output).toEqual({ total: { cents: 4_200 } });
    const survey = await childOf(run, 'survey');
    expect(state.steps['survey']?.output).toEqual(survey);
    const asked = await ended(survey);
    expect(asked.payload).toEqual({ order: 'o7', total: 4_200 });
    expect(asked.parent).toMatchObject({ ...run, step: 'survey', attempt: 1, detached: true, depth: 1 });
    const span = await waitFor('the span of the child', async () =>
      seen.spans.find(({ name }) => name === 'run invoice'),
    );
    expect(span.parentSpanId).toBe(attemptSpanId(run.runId, 'invoice', 1));
  });
});

describe('crashes', () => {
  /** A controller whose outbox fails at each entry the first time, before or after it has sent. */
  async function faulty(definitions: DefinitionStore, workflow: string, when: 'before' | 'after'): Promise<void> {
    const { telemetry } = recorder();
    const outbox = openOutbox({ door, journal, definitions, telemetry });
    const failed = new Set<number>();
    const crashing: Outbox = {
      deadLetter: (letter) => outbox.deadLetter(letter),
      async send(batch) {
        if (failed.has(batch.entry.seq)) return outbox.send(batch);
        failed.add(batch.entry.seq);
        if (when === 'after') await outbox.send(batch);
        throw new Error(`died ${when} sending`);
      },
    };
    const machine = new Controller({ journal, outbox: crashing, definitions, clock: systemClock, telemetry });
    const consumption = await journal.consume(workflow, (delivery) => machine.handle(delivery));
    stops.push(() => consumption.stop());
  }

  it.each(['before', 'after'] as const)('a child runs once and is heard once when all die %s sending', async (when) => {
    const low = define(`low-${when}`, [workerStep('work')]);
    const action = { kind: 'child', workflow: low.name, onClose: 'cancel', wait: true } as const;
    const high = define(`high-${when}`, [
      { name: 'one', needs: [], action, retry: PATIENT },
      { name: 'two', needs: ['one'], action, retry: PATIENT },
    ]);
    const store = await kit.prepare([high, low]);
    worker = await tinyWorker({ door, work: ({ runId }) => runId });
    await Promise.all([faulty(store, high.name, when), faulty(store, low.name, when)]);
    const run = await start(high);
    const state = await ended(run);
    expect(state.status).toBe('completed');
    const [one, two] = [await childOf(run, 'one'), await childOf(run, 'two')];
    expect(worker.begun.map(({ runId }) => runId)).toEqual([one.runId, two.runId]);
    expect(state.steps['two']?.output).toEqual({ work: two.runId });
    expect(await journal.runIds(low.name)).toHaveLength(2);
  });
});

describe('the tree', () => {
  const self = { kind: 'child', workflow: 'nested', onClose: 'cancel', wait: true } as const;
  const nested = define('nested', [
    {
      name: 'deeper',
      needs: [],
      action: self,
      retry: PATIENT,
      when: 'payload.levels > 0',
      with: { levels: 'payload.levels - 1' },
    },
    workerStep('leaf', [], { when: 'payload.levels == 0' }),
  ]);

  it('is cancelled from the top down; what was abandoned goes on', async () => {
    const alone = { ...self, onClose: 'abandon' } as const;
    const lets = define('lets', [{ name: 'go', needs: [], action: alone, retry: PATIENT, with: { levels: '0' } }]);
    const store = await kit.prepare([nested, lets]);
    worker = await tinyWorker({ door, work: () => undefined }); // nobody answers
    await controller(store);
    const [top, loose] = [await start(nested, { levels: 2 }), await start(lets)];
    const middle = await childOf(top, 'deeper');
    const bottom = await childOf(middle, 'deeper');
    const free = await childOf(loose, 'go');
    for (const run of [top, loose]) {
      await journal.send(run, { v: 1, kind: 'cancel', reason: 'enough' }, { msgId: `cancel:${run.runId}` });
    }
    const states = await Promise.all([top, middle, bottom, loose].map(ended));
    expect(states.map(({ status, reason }) => `${status}: ${reason}`)).toEqual(Array(4).fill('cancelled: enough'));
    expect((await stateOf(free)).status).toBe('running');
  });

  it('fails when the child workflow was never applied, and completes by a retry once it is', async () => {
    const late = define('late', [workerStep('work')]);
    const action = { kind: 'child', workflow: 'late', onClose: 'cancel', wait: true } as const;
    const early = define('early', [{ name: 'c', needs: [], action, retry: { ...PATIENT, maxAttempts: 1 } }]);
    const store = await kit.prepare([early]);
    worker = await tinyWorker({ door });
    await controller(store);
    const run = await start(early);
    expect((await ended(run)).error).toMatchObject({ code: 'MR_WORKFLOW_MISSING' });
    await kit.prepare([late]);
    await journal.send(run, { v: 1, kind: 'retry' }, { msgId: 'retry-early' });
    const done = await waitFor('the retry', async () => {
      const state = await stateOf(run);
      return state.status === 'completed' ? state : undefined;
    });
    expect(done.steps['c']).toMatchObject({ attempt: 2, output: { work: null } });
  });
});
