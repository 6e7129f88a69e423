import { headers } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NatsDoor } from '../../src/drivers/index.ts';
import {
  type ControllerService,
  type DeadLetters,
  fold,
  isEnded,
  type Journal,
  openDeadLetters,
  openJournal,
  type StoredDeadLetter,
  startController,
} from '../../src/engine/index.ts';
import {
  dispatchSubject,
  inputSubject,
  isMillraceError,
  runIdOf,
  STREAMS,
  workflowStream,
} from '../../src/kernel/index.ts';
import type { DefinitionStore } from '../../src/manifests/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import {
  define,
  type NatsKit,
  PATIENT,
  type TinyWorker,
  tinyWorker,
  waitFor,
  withNats,
  workerStep,
} from '../kit/index.ts';

const decoder = new TextDecoder();
const SECOND = 1_000_000_000;

const picky = define('picky', [workerStep('only', [], { retry: { ...PATIENT, maxAttempts: 1 } })], {
  deadLetter: true,
  triggers: [{ name: 'in', stream: 'SOURCE', subject: 'source.*', when: 'payload.size > 0' }],
});
const flowing = define('flowing', [
  { name: 'flow', needs: [], retry: PATIENT, action: { kind: 'prefect', deployment: 'f/d', pool: 'p' } },
]);

let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;
let letters: DeadLetters;
let definitions: DefinitionStore;
let service: ControllerService;
let worker: TinyWorker | undefined;

beforeAll(async () => {
  // 4 MB, so that a message of 2 MB reaches a stream at all.
  kit = await withNats({ extraConf: 'max_payload: 4MB' });
  door = await kit.door();
  await door.jsm.streams.add({ name: 'SOURCE', subjects: ['source.*'] });
  definitions = await kit.prepare([picky, flowing]);
  journal = openJournal(door);
  letters = openDeadLetters(door);
  service = await startController({ door: await kit.door('controller'), definitions, telemetry: noTelemetry });
});
afterAll(async () => {
  await service?.stop();
  await kit?.stop();
});
afterEach(async () => {
  await worker?.stop();
  worker = undefined;
  await letters.purge();
});

const letter = (what: string, match: (found: StoredDeadLetter) => boolean): Promise<StoredDeadLetter> =>
  waitFor(`the dead letter of ${what}`, async () => (await letters.list()).find(match));

async function stateOf(workflow: string, runId: string) {
  return fold(workflow, runId, await journal.entries({ workflow, runId }));
}

const ended = (workflow: string, runId: string) =>
  waitFor(`the end of ${runId}`, async () => {
    const state = await stateOf(workflow, runId);
    return isEnded(state) ? state : undefined;
  });

describe('dead letters of triggers', () => {
  it('keeps a message that is not JSON, byte for byte, with its own headers and ours', async () => {
    const own = headers();
    own.set('X-Producer', 'sensor 7');
    const { seq } = await door.js.publish('source.bad', new Uint8Array([123, 255, 0, 34]), { headers: own });
    const found = await letter('the bytes', ({ origin }) => origin.sequence === seq);
    expect(found).toMatchObject({
      ...{ kind: 'trigger', workflow: 'picky', id: `SOURCE-${seq}`, code: 'MR_NOT_JSON' },
      origin: { stream: 'SOURCE', sequence: seq, subject: 'source.bad' },
      headers: { 'X-Producer': 'sensor 7' },
    });
    expect([...found.data]).toEqual([123, 255, 0, 34]);
  });

  it('keeps a message on which the condition fails to evaluate; one on which it is false is no dead letter', async () => {
    await door.js.publish('source.small', JSON.stringify({ size: 0 }));
    const { seq } = await door.js.publish('source.odd', JSON.stringify({ other: 1 }));
    const found = await letter('the odd one', ({ origin }) => origin.sequence === seq);
    expect(found.code).toBe('MR_EXPRESSION');
    expect(found.reason).toContain('payload.size > 0');
    expect(await letters.list()).toHaveLength(1);
  });

  it('lets a message that is delivered again and still bad come back as a letter of its own', async () => {
    const { seq } = await door.js.publish('source.later', 'oops');
    const found = await letter('the oops', ({ origin }) => origin.sequence === seq);
    const again = await letters.redeliver(found.seq);
    expect(again).toMatchObject({ subject: 'source.later', stream: 'SOURCE' });
    const second = await letter('the oops, again', ({ origin }) => origin.sequence === again.sequence);
    expect(await letters.get(found.seq)).toBeUndefined();
    expect(second.data).toEqual(found.data);
    const refusal = await letters.redeliver(found.seq).catch((error: unknown) => error);
    expect(isMillraceError(refusal, 'MR_INPUT_INVALID')).toBe(true);
  });
});

describe('dead letters of runs', () => {
  it('keeps the message of a failed run; delivered again it starts another run, which ends well', async () => {
    let broken = true;
    worker = await tinyWorker({
      door,
      work: () => {
        if (broken) throw new Error('the disk\nis full');
        return 'fine';
      },
    });
    const body = JSON.stringify({ size: 1, text: 'ünï' });
    const { seq } = await door.js.publish('source.run', body);
    const runId = runIdOf('picky', 'in', 'SOURCE', seq);
    const found = await letter('the failed run', (one) => one.runId === runId);
    expect(found).toMatchObject({ kind: 'run', workflow: 'picky', code: 'MR_STEP_FAILED', reason: 'the disk is full' });
    expect(decoder.decode(found.data)).toBe(body);
    expect((await ended('picky', runId)).status).toBe('failed');
    broken = false;
    const again = await letters.redeliver(found.seq);
    const next = await ended('picky', runIdOf('picky', 'in', 'SOURCE', again.sequence));
    expect(next).toMatchObject({ status: 'completed', payload: { size: 1, text: 'ünï' } });
  });

  it('keeps the payload when the source has let go of the message', async () => {
    let sequence = 0;
    let purged: Promise<unknown> | undefined;
    worker = await tinyWorker({
      door,
      work: () => {
        purged ??= door.jsm.streams.deleteMessage('SOURCE', sequence);
        throw new Error('too late');
      },
    });
    sequence = (await door.js.publish('source.gone', '{"size": 3}')).seq;
    const found = await letter('the run', ({ origin }) => origin.sequence === sequence);
    await purged;
    expect(JSON.parse(decoder.decode(found.data))).toEqual({ size: 3 });
  });
});

describe('dead letters of inputs', () => {
  it('takes poison off an `in` subject without disturbing the run', async () => {
    worker = await tinyWorker({ door });
    const subject = inputSubject('picky', 'poisoned');
    const poison = await door.js.publish(subject, 'not json');
    const strange = await door.js.publish(subject, JSON.stringify({ v: 1, kind: 'timer' }));
    const run = { workflow: 'picky', runId: 'poisoned' };
    const start = { v: 1, kind: 'start', digest: picky.digest, payload: {} } as const;
    await journal.send(run, start, { msgId: 'start:poisoned' });
    expect((await ended('picky', 'poisoned')).status).toBe('completed');
    const first = await letter('not json', ({ origin }) => origin.sequence === poison.seq);
    const second = await letter('the strange one', ({ origin }) => origin.sequence === strange.seq);
    expect(first).toMatchObject({ kind: 'input', code: 'MR_NOT_JSON', runId: 'poisoned', origin: { subject } });
    expect(second).toMatchObject({ kind: 'input', code: 'MR_INPUT_INVALID' });
    expect(second.reason).toContain('timer');
    await waitFor('an idle consumer', async () => {
      const info = await door.jsm.consumers.info(workflowStream('picky'), 'controller');
      return info.num_ack_pending === 0;
    });
  });

  it('takes a start whose definition was never applied; after the apply, delivered again, it runs', async () => {
    worker = await tinyWorker({ door });
    const next = define('picky', [workerStep('only'), workerStep('more', ['only'])], { deadLetter: true });
    const run = { workflow: 'picky', runId: 'early' };
    await journal.send(run, { v: 1, kind: 'start', digest: next.digest, payload: {} }, { msgId: 'start:early' });
    const found = await letter('the start', ({ runId }) => runId === 'early');
    expect(found).toMatchObject({ kind: 'input', code: 'MR_DEFINITION_MISSING' });
    expect(found.reason).toContain(next.digest);
    await definitions.put(next);
    await letters.redeliver(found.seq);
    expect((await ended('picky', 'early')).steps['more']?.status).toBe('completed');
    await definitions.put(picky);
  });

  it('takes an input of 2 MB that is not JSON, whole', async () => {
    const { seq } = await door.js.publish(inputSubject('picky', 'huge'), 'x'.repeat(2_000_000));
    const found = await letter('the 2 MB', ({ origin }) => origin.sequence === seq);
    expect(found).toMatchObject({ kind: 'input', atOrigin: false });
    expect(found.data).toHaveLength(2_000_000);
  });

  it("points to a message that fills the server's limit, and delivers it again from its origin", async () => {
    const limit = door.nc.info?.max_payload ?? 0;
    const { seq } = await door.js.publish('source.full', 'y'.repeat(limit - 200));
    const found = await letter('the full one', ({ origin }) => origin.sequence === seq);
    expect([found.atOrigin, found.data.length, found.code]).toEqual([true, 0, 'MR_NOT_JSON']);
    const again = await letters.redeliver(found.seq);
    const copy = await door.jsm.streams.getMessage('SOURCE', { seq: again.sequence });
    expect(copy?.data).toHaveLength(limit - 200);
    await letter('the full one, again', ({ origin }) => origin.sequence === again.sequence);
  });
});

describe('deliveries exhausted', () => {
  it('fails the step of a task that no worker survives, keeps the task, empties the work queue', async () => {
    worker = await tinyWorker({ door, work: () => undefined, maxDeliver: 2, ackWaitMs: 200 });
    const run = { workflow: 'picky', runId: 'deadly' };
    const start = { v: 1, kind: 'start', digest: picky.digest, payload: {} } as const;
    await journal.send(run, start, { msgId: 'start:deadly' });
    const state = await ended('picky', 'deadly');
    expect(state.error).toMatchObject({ code: 'MR_STEP_EXHAUSTED', retryable: false });
    expect(state.error?.message).toBe('given up after 2 deliveries to W_tiny');
    const found = await letter('the task', ({ kind }) => kind === 'task');
    expect(found).toMatchObject({ workflow: 'picky', runId: 'deadly', code: 'MR_STEP_EXHAUSTED' });
    expect(JSON.parse(decoder.decode(found.data))).toMatchObject({ step: 'only', attempt: 1 });
    await waitFor('an empty queue', async () => (await door.jsm.streams.info(STREAMS.tasks)).state.messages === 0);
  });

  it('fails the step of a flow run that no host survives', async () => {
    const run = { workflow: 'flowing', runId: 'f1' };
    const start = { v: 1, kind: 'start', digest: flowing.digest, payload: {} } as const;
    await journal.send(run, start, { msgId: 'start:f1' });
    await waitFor('the flow step', async () => (await stateOf('flowing', 'f1')).steps['flow']?.status === 'scheduled');
    const dispatch = {
      ...{ v: 1, action: 'run', ...run, step: 'flow', attempt: 1, flowRunId: 'id-1' },
      ...{ deployment: 'f/d', parameters: {}, traceparent: '' },
    };
    await exhaust(STREAMS.flows, 'HOST_p', dispatchSubject('p'), JSON.stringify(dispatch));
    const state = await ended('flowing', 'f1');
    expect(state.error).toMatchObject({ code: 'MR_STEP_EXHAUSTED' });
    expect(state.steps['flow']?.flows).toEqual({});
    expect(await letter('the dispatch', ({ kind }) => kind === 'flow')).toMatchObject({ runId: 'f1' });
  });

  it('keeps what does not say whose it is, too', async () => {
    await exhaust(STREAMS.flows, 'HOST_p', dispatchSubject('p'), 'what?');
    const found = await letter('the stranger', ({ kind }) => kind === 'flow');
    expect([found.workflow, decoder.decode(found.data)]).toEqual(['_', 'what?']);
  });

  /** Publishes a message and lets a consumer of its own fail on it once, which is once too often. */
  async function exhaust(stream: string, consumer: string, subject: string, body: string): Promise<void> {
    await door.jsm.consumers.add(stream, {
      ...{ durable_name: consumer, ack_policy: 'explicit', filter_subject: subject },
      ...{ max_deliver: 1, ack_wait: SECOND / 5 },
    });
    await door.js.publish(subject, body);
    const bound = await door.js.consumers.get(stream, consumer);
    const msg = await bound.next({ expires: 5_000 });
    expect(msg?.string()).toBe(body);
    // The server notices only when somebody asks for more.
    await bound.next({ expires: 1_000 });
    await waitFor('an empty queue', async () => (await door.jsm.streams.info(stream)).state.messages === 0);
    await door.jsm.consumers.delete(stream, consumer);
  }
});
