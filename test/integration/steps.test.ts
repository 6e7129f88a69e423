/** Declared steps to full depth on a real server: pause and resume, compensation, grace, kill, heartbeats, time in the queue. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { NatsDoor } from '../../src/drivers/index.ts';
import {
  type ControllerService,
  type Definition,
  fold,
  type InputBody,
  isEnded,
  type Journal,
  openJournal,
  type RunRef,
  type RunState,
  startController,
} from '../../src/engine/index.ts';
import { checkManifests, type DefinitionStore } from '../../src/manifests/index.ts';
import { createWorker, NonRetryableError, RetryAfter, type StepContext, type Worker } from '../../src/worker/index.ts';
import { define, type NatsKit, PATIENT, recorder, waitFor, withNats, workerStep } from '../kit/index.ts';

/** The workflow that docs/manifests.md shows. */
function fromThePage(name: string): Definition {
  const page = readFileSync('docs/manifests.md', 'utf8');
  const texts = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
  const text = texts.find((one) => one.includes(`name: ${name}\n`)) ?? '';
  const { definitions, problems } = checkManifests([{ file: 'page.yaml', text }]);
  expect(problems).toEqual([]);
  const [definition] = definitions;
  if (definition === undefined) throw new Error(`docs/manifests.md has no workflow ${name}`);
  return definition;
}

const booking = fromThePage('booking');
const lively = define('lively', [
  workerStep('copy', [], { heartbeatTimeoutMs: 1_500, retry: { ...PATIENT, maxAttempts: 1 } }),
]);
const lonely = define('lonely', [workerStep('alone', [], { queueTimeoutMs: 200 })]);

type Work = (input: unknown, ctx: StepContext) => unknown;

let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;
let definitions: DefinitionStore;
let runs = 0;
const open: { drain?(): Promise<void>; stop?(): Promise<void> }[] = [];

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  definitions = await kit.prepare([booking, lively, lonely]);
  journal = openJournal(door);
});
afterAll(() => kit?.stop());
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.drain?.() ?? one.stop?.()));
});

async function controller(): Promise<ControllerService> {
  const service = await startController({
    door: await kit.door('controller'),
    definitions,
    telemetry: recorder().telemetry,
  });
  open.push(service);
  return service;
}

/** A worker whose every handler is `work`; what it did is kept in order, with the keys. */
async function workers(queue: string, handlers: readonly string[], work: Work) {
  const did: string[] = [];
  const keys: string[] = [];
  const worker: Worker = createWorker({ nats: door, queue, handleSignals: false, drainMs: 100 });
  for (const name of handlers) {
    const io = { input: z.any(), output: z.any(), concurrency: 5 };
    worker.handle(name, io, async (input, ctx) => {
      did.push(ctx.step);
      keys.push(`${ctx.step} ${ctx.idempotencyKey.slice(ctx.runId.length + 1)}`);
      return work(input, ctx as StepContext);
    });
  }
  await worker.start();
  open.push(worker);
  return { did, keys };
}

const ROOMS = ['rooms.reserve', 'rooms.release', 'cards.charge', 'cards.refund', 'mails.confirm'];

async function start(definition: Definition, payload = {}): Promise<RunRef> {
  const run = { workflow: definition.name, runId: `run${++runs}` };
  await tell(run, { v: 1, kind: 'start', digest: definition.digest, payload });
  return run;
}

let told = 0;
const tell = (run: RunRef, body: InputBody) => journal.send(run, body, { msgId: `told${++told}` });
const stateOf = async (run: RunRef): Promise<RunState> => fold(run.workflow, run.runId, await journal.entries(run));
const until = (what: string, run: RunRef, holds: (state: RunState) => boolean): Promise<RunState> =>
  waitFor(what, async () => {
    const state = await stateOf(run);
    return holds(state) ? state : undefined;
  });
const ended = (run: RunRef): Promise<RunState> => until(`the end of ${run.runId}`, run, isEnded);
const statuses = ({ steps }: RunState) =>
  Object.fromEntries(Object.values(steps).map(({ name, status }) => [name, status]));

/** What the handlers of a booking give back when all is well. */
function fine(input: unknown, { step }: StepContext): unknown {
  if (step === 'reserve') return { room: 12 };
  return step === 'charge' ? input : null;
}

describe('a booking, as docs/manifests.md has it', () => {
  it('gives its output when all goes well', async () => {
    const { did } = await workers('default', ROOMS, fine);
    await controller();
    const state = await ended(await start(booking, { price: 90 }));
    expect([state.status, state.output, did]).toEqual([
      'completed',
      { room: 12, paid: 90 },
      ['reserve', 'charge', 'confirm'],
    ]);
  });

  it('pauses where nothing helps, survives its controller, and goes on when a person says so', async () => {
    let broken = true;
    const { did } = await workers('default', ROOMS, (input, ctx) => {
      if (broken && ctx.step === 'confirm') throw new Error('the mail server is away');
      return fine(input, ctx);
    });
    const first = await controller();
    const run = await start(booking, { price: 90 });
    const paused = await until('the pause', run, ({ steps }) => steps['confirm']?.status === 'paused');
    expect([paused.status, paused.steps['confirm']?.attempt]).toEqual(['running', 3]);
    await first.stop();
    open.splice(open.indexOf(first), 1);
    broken = false;
    await tell(run, { v: 1, kind: 'resume', step: 'confirm' });
    await tell(run, { v: 1, kind: 'resume', step: 'confirm' }); // twice is once
    await controller();
    const state = await ended(run);
    expect([state.status, did]).toEqual([
      'completed',
      ['reserve', 'charge', 'confirm', 'confirm', 'confirm', 'confirm'],
    ]);
  });

  it('is undone from the end when the card is declined, and a retry does it again under another key', async () => {
    let declined = true;
    const { did, keys } = await workers('default', ROOMS, (input, ctx) => {
      if (declined && ctx.step === 'charge') throw Object.assign(new Error('no'), { code: 'CARD_DECLINED' });
      return fine(input, ctx);
    });
    await controller();
    const run = await start(booking, { price: 90 });
    const failed = await ended(run);
    expect([failed.error?.code, did]).toEqual(['CARD_DECLINED', ['reserve', 'charge', 'undo:reserve']]);
    expect(failed.steps['undo:reserve']?.input).toEqual({ room: 12 });
    declined = false;
    await tell(run, { v: 1, kind: 'retry' });
    await until('the retried run', run, ({ status }) => status === 'completed');
    expect(keys).toEqual([
      'reserve reserve',
      'charge charge',
      'undo:reserve undo:reserve',
      'reserve reserve~1',
      'charge charge',
      'confirm confirm',
    ]);
  });

  it('is cancelled with time to end what is under way, then undone, though its controller goes in the middle', async () => {
    let letGo: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let hold: () => void = () => undefined;
    const releasing = new Promise<void>((resolve) => {
      hold = resolve;
    });
    const { did } = await workers('default', ROOMS, async (input, ctx) => {
      if (ctx.step === 'confirm') {
        await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve, { once: true }));
        letGo();
        return 'sent all the same';
      }
      if (ctx.step === 'undo:charge') await releasing;
      return fine(input, ctx);
    });
    const first = await controller();
    const run = await start(booking, { price: 90 });
    await waitFor('the mail', async () => (did.includes('confirm') ? true : undefined));
    await tell(run, { v: 1, kind: 'cancel', reason: 'rained off' });
    await gate;
    await tell(run, { v: 1, kind: 'cancel', reason: 'once more' });
    const closing = await until('the refund', run, ({ steps }) => steps['undo:charge'] !== undefined);
    expect([closing.status, closing.closing?.reason, closing.steps['confirm']?.output]).toEqual([
      'running',
      'rained off',
      'sent all the same',
    ]);
    await first.stop();
    open.splice(open.indexOf(first), 1);
    hold();
    await controller();
    const state = await ended(run);
    expect([state.status, state.reason, statuses(state)]).toEqual([
      'cancelled',
      'rained off',
      {
        reserve: 'compensated',
        charge: 'compensated',
        confirm: 'completed',
        'undo:charge': 'completed',
        'undo:reserve': 'completed',
      },
    ]);
    expect(did).toEqual(['reserve', 'charge', 'confirm', 'undo:charge', 'undo:reserve']);
    const last = await waitFor('its event', async () => {
      const subject = `evt.step.booking.${run.runId}.undo:reserve.completed`;
      return (await door.jsm.streams.getMessage('MR_EVENTS', { last_by_subj: subject })) ?? undefined;
    });
    expect(last.json()).toMatchObject({ step: 'undo:reserve' });
  });

  it('is killed at once, with nothing undone, even while it is being cancelled', async () => {
    const { did } = await workers('default', ROOMS, async (input, ctx) => {
      if (ctx.step !== 'undo:charge') return ctx.step === 'confirm' ? never(ctx) : fine(input, ctx);
      return never(ctx);
    });
    await controller();
    const run = await start(booking, { price: 90 });
    await waitFor('the mail', async () => (did.includes('confirm') ? true : undefined));
    await tell(run, { v: 1, kind: 'cancel', reason: 'no', graceMs: 0 });
    await waitFor('the refund', async () => (did.includes('undo:charge') ? true : undefined));
    await tell(run, { v: 1, kind: 'kill', reason: 'the refund hangs' });
    const state = await ended(run);
    expect([state.killed, statuses(state)]).toEqual([
      true,
      { reserve: 'completed', charge: 'completed', confirm: 'cancelled', 'undo:charge': 'cancelled' },
    ]);
  });

  it('is tried again when the error says, not when the policy does', async () => {
    let tries = 0;
    await workers('default', ROOMS, (input, ctx) => {
      if (ctx.step === 'charge' && tries++ === 0) throw new RetryAfter(5, 'the bank is busy');
      return fine(input, ctx);
    });
    await controller();
    const run = await start(booking, { price: 90 });
    expect((await ended(run)).status).toBe('completed');
    const entries = await journal.entries(run);
    const waits = entries.flatMap(({ at, transitions }) =>
      transitions.flatMap((t) => (t.type === 'StepRetryScheduled' ? [t.retryAt - at] : [])),
    );
    expect(waits).toEqual([5]);
  });
});

/** Until the attempt is stopped. */
const never = (ctx: StepContext): Promise<never> =>
  new Promise((_, reject) => {
    ctx.signal.addEventListener('abort', () => reject(new NonRetryableError('stopped')), { once: true });
  });

describe('a silent attempt', () => {
  it('is lost though its process lives, and the next one begins where it was', async () => {
    const seen: unknown[] = [];
    await workers('q', ['copy'], async (_, ctx) => {
      seen.push(ctx.progress);
      if (ctx.attempt === 2) return ctx.progress;
      ctx.heartbeat({ row: 41 });
      return never(ctx);
    });
    await controller();
    const run = await start(lively);
    const state = await ended(run);
    expect([state.status, state.steps['copy']?.output, seen]).toEqual([
      'completed',
      { row: 41 },
      [undefined, { row: 41 }],
    ]);
    expect(state.steps['copy']).toMatchObject({ attempt: 2, lost: 1 });
  });

  it('one that says that it lives has all the time it needs: the timer on the server is moved', async () => {
    // Beats twice per silence: the fourth comes when the first timer would have fired.
    const beats = (entries: readonly { transitions: readonly { type: string }[] }[]): number =>
      entries.flatMap(({ transitions }) => transitions.filter(({ type }) => type === 'StepHeartbeat')).length;
    await workers('q', ['copy'], (_, ctx) =>
      waitFor('more heartbeats than fit into the silence that is allowed', async () => {
        ctx.heartbeat(1);
        return beats(await journal.entries(ctx)) > 3 ? ctx.attempt : undefined;
      }),
    );
    await controller();
    const state = await ended(await start(lively));
    expect([state.status, state.steps['copy']?.output]).toEqual(['completed', 1]);
  });
});

it('what no worker begins in its time in the queue fails, and says what to look for', async () => {
  await controller();
  const { error } = await ended(await start(lonely));
  expect(error).toMatchObject({ code: 'MR_QUEUE_TIMEOUT', message: 'no worker began attempt 1 within 200 ms' });
});
