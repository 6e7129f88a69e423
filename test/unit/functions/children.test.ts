/** Child runs of durable functions: what the log says, what the code sees, what ends with what. */
import { describe, expect, test } from 'vitest';
import { ChildError, type ChildOptions, type Context, workflow } from '../../../src/functions/index.ts';
import type { Json } from '../../../src/kernel/index.ts';
import { functionsInMemory } from '../../kit/functions.ts';

const double = workflow<number, number>('double', {}, (ctx, n) => ctx.step('twice', () => n * 2));
const waits = workflow<Json, Json>('waits', {}, (ctx) => ctx.signal('go'));
const parent = (run: (ctx: Context) => Promise<Json>) => workflow<Json, Json>('parent', {}, run);

/** The child of the step, as the parent's log has it. */
async function childOf(world: ReturnType<typeof functionsInMemory>, step: string): Promise<string> {
  await world.until('StepScheduled', 'parent');
  return (await world.state('parent')).steps[step]?.child?.runId ?? 'none';
}

describe('F20: a child run', () => {
  test('is recorded, started, known by its parent, and gives its result', async () => {
    const world = functionsInMemory();
    await world.serve('w', [double, parent(async (ctx) => [await ctx.run(double, 4), await ctx.run('double', 5)])]);
    await world.start('parent');
    expect((await world.end('parent')).output).toEqual([8, 10]);
    expect((await world.types('parent')).filter((type) => type.startsWith('Step'))).toEqual([
      'StepScheduled',
      'StepCompleted',
      'StepScheduled',
      'StepCompleted',
    ]);
    const runId = await childOf(world, 'run:double');
    const child = await world.state('double', runId);
    expect(child.parent).toEqual({ workflow: 'parent', runId: 'r', step: 'run:double', attempt: 1 });
    expect(child.trace?.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  });

  test('whose workflow nobody knows fails the step, and says what to do', async () => {
    const world = functionsInMemory();
    const seen: unknown[] = [];
    const fn = parent(async (ctx) => {
      await ctx.run('nobody', 1).catch((error: unknown) => seen.push(error));
      return ctx.run('nobody', 2);
    });
    await world.serve('w', [fn]);
    await world.start('parent');
    const state = await world.end('parent');
    expect(seen[0]).toBeInstanceOf(ChildError);
    expect(state.error).toMatchObject({ code: 'MR_WORKFLOW_MISSING', message: 'there is no workflow "nobody"' });
    expect(state.failedStep).toBe('run:nobody#2');
  });

  test('that fails is a ChildError with its failure and its run id, alike on replay', async () => {
    const world = functionsInMemory();
    const seen: Json[] = [];
    const bad = workflow<Json, Json>('bad', {}, async () => {
      throw new Error('no luck');
    });
    const fn = parent(async (ctx) => {
      await ctx.run(bad, null).catch((error: unknown) => {
        if (error instanceof ChildError) seen.push([error.runId, error.workflow, error.step, error.failure.message]);
      });
      return ctx.signal('go');
    });
    await world.serve('w', [bad, fn], { keepResting: 0 });
    await world.start('parent');
    await world.until('SignalAwaited', 'parent');
    await world.send('parent', 'r', { kind: 'signal', name: 'go', payload: 1 } as never);
    await world.end('parent');
    const runId = await childOf(world, 'run:bad');
    expect(seen).toEqual([
      [runId, 'bad', 'run:bad', 'no luck'],
      [runId, 'bad', 'run:bad', 'no luck'],
    ]);
  });

  test('of a chosen id that exists and is another’s fails the step', async () => {
    const world = functionsInMemory();
    await world.serve('w', [double, parent((ctx) => ctx.run(double, 1, { runId: 'mine' }))]);
    await world.start('double', 21, 'mine');
    await world.end('double', 'mine');
    await world.start('parent');
    expect((await world.end('parent')).error).toMatchObject({
      code: 'MR_RUN_STATE',
      message: 'run mine of double exists, and was not started by this step',
    });
    expect((await world.state('double', 'mine')).output).toBe(42);
  });

  test('that calls itself for ever ends at fifty levels', async () => {
    const world = functionsInMemory();
    const self = workflow<number, number>('self', {}, (ctx, n) => ctx.run('self', n + 1) as Promise<number>);
    await world.serve('w', [self]);
    await world.start('self', 0);
    expect((await world.end('self')).error?.message).toContain('50 levels below the topmost');
  });

  test('that is started without waiting outlives its parent', async () => {
    const world = functionsInMemory();
    await world.serve('w', [waits, parent((ctx) => ctx.start(waits, null))]);
    await world.start('parent');
    const { output } = await world.end('parent');
    const { runId } = output as { runId: string };
    await world.until('SignalAwaited', 'waits', runId);
    await world.send('waits', runId, { kind: 'signal', name: 'go', payload: 7 } as never);
    expect((await world.end('waits', runId)).output).toBe(7);
    expect(await world.types('parent')).not.toContain('ChildEnded');
  });
});

describe('F21 and F22: a parent that rests', () => {
  test('is woken by its child’s end in another process, also when its own is gone', async () => {
    const world = functionsInMemory();
    const fn = parent((ctx) => ctx.run(waits, null));
    await world.serve('old', [fn]);
    await world.serve('child', [waits]);
    await world.start('parent');
    const runId = await childOf(world, 'run:waits');
    await world.until('RunSuspended', 'parent');
    world.kill('old');
    await world.serve('new', [fn]);
    await world.send('waits', runId, { kind: 'signal', name: 'go', payload: 'ok' } as never);
    expect((await world.end('parent')).output).toBe('ok');
    // A word that comes again means nothing.
    const ending = { status: 'completed', output: 'other' } as const;
    const again = { kind: 'child', step: 'run:waits', attempt: 1, workflow: 'waits', runId, ending } as const;
    await world.send('parent', 'r', again as never);
    expect((await world.state('parent')).output).toBe('ok');
  });
});

describe('F23: the end of a parent', () => {
  test.each<[ChildOptions, string]>([
    [{}, 'cancelled'],
    [{ onClose: 'abandon' }, 'running'],
  ])('with %o leaves its child %s', async (options, status) => {
    const world = functionsInMemory();
    await world.serve('w', [waits, parent((ctx) => ctx.run(waits, null, options))]);
    await world.start('parent');
    const runId = await childOf(world, 'run:waits');
    await world.until('SignalAwaited', 'waits', runId);
    await world.send('parent', 'r', { kind: 'cancel', reason: 'enough' } as never);
    expect((await world.end('parent')).steps['run:waits']?.status).toBe('cancelled');
    if (status === 'cancelled') {
      expect(await world.end('waits', runId)).toMatchObject({ status, reason: 'enough' });
    } else {
      await world.send('waits', runId, { kind: 'signal', name: 'go', payload: 1 } as never);
      expect((await world.end('waits', runId)).status).toBe('completed');
    }
  });

  test('a kill ends a run that rests, and says that it was one', async () => {
    const world = functionsInMemory();
    await world.serve('w', [waits]);
    await world.start('waits');
    await world.until('SignalAwaited', 'waits', 'r');
    await world.send('waits', 'r', { kind: 'kill', reason: 'stuck', by: 'ops' } as never);
    expect(await world.end('waits')).toMatchObject({ status: 'cancelled', killed: true, reason: 'stuck' });
  });

  test('a kill ends a run whose step is under way; what the step gives later counts for nothing', async () => {
    const world = functionsInMemory();
    let begun = (): void => undefined;
    const running = new Promise<void>((resolve) => (begun = resolve));
    let finish = (): void => undefined;
    const busy = workflow<Json, Json>('busy', {}, (ctx) =>
      ctx.step('long', () => {
        begun();
        return new Promise<Json>((resolve) => (finish = () => resolve('late')));
      }),
    );
    await world.serve('w', [busy]);
    await world.start('busy');
    await running;
    await world.send('busy', 'r', { kind: 'kill', reason: 'stuck' } as never);
    expect(await world.end('busy')).toMatchObject({ status: 'cancelled', killed: true });
    finish();
    expect(await world.state('busy')).toMatchObject({ status: 'cancelled', killed: true });
  });

  test('a child that is cancelled by itself fails its parent’s step', async () => {
    const world = functionsInMemory();
    await world.serve('w', [waits, parent((ctx) => ctx.run(waits, null))]);
    await world.start('parent');
    const runId = await childOf(world, 'run:waits');
    await world.until('SignalAwaited', 'waits', runId);
    await world.send('waits', runId, { kind: 'cancel', reason: 'not needed' } as never);
    expect((await world.end('parent')).error).toMatchObject({
      code: 'MR_CANCELLED',
      message: `child run ${runId} of waits was cancelled: not needed`,
    });
  });

  test('a retry of the parent by hand starts a new child', async () => {
    const world = functionsInMemory();
    let luck = false;
    const moody = workflow<Json, Json>('moody', {}, async () => {
      if (!luck) throw new Error('not today');
      return 'fine';
    });
    await world.serve('w', [moody, parent((ctx) => ctx.run(moody, null))]);
    await world.start('parent');
    const first = await childOf(world, 'run:moody');
    expect((await world.end('parent')).status).toBe('failed');
    luck = true;
    await world.send('parent', 'r', { kind: 'retry' } as never);
    await world.until('RunCompleted', 'parent');
    const state = await world.state('parent');
    expect(state.output).toBe('fine');
    expect(state.steps['run:moody']?.child?.runId).not.toBe(first);
  });
});
