/** `millrace limits`: what it shows of limits, and what `release` asks. */
import { describe, expect, test } from 'vitest';
import { MemoryBroker } from '../../../src/engine/index.ts';
import { limitKeyToken } from '../../../src/kernel/index.ts';
import { foldLimit, LimitKeeper, MemoryLimits } from '../../../src/limits/index.ts';
import { noTelemetry } from '../../../src/telemetry/index.ts';
import { ask, BEGIN, LIMIT, slots } from '../../kit/limits.ts';
import { waitFor } from '../../kit/wait.ts';
import { fakeCli } from './kit.ts';

const RATE = 'rate:orders';
const refOf = (limit: string, key = '') => ({ limit, token: limitKeyToken(limit, key) });

/** Two slots of customer eu, one of them waited for; a rate of which one start is used. */
async function setUp(json = false) {
  const clock = { now: () => BEGIN, sleep: () => new Promise<void>(() => {}) };
  const broker = new MemoryBroker({ clock });
  const limits = new MemoryLimits(broker, 'k1');
  const keeper = new LimitKeeper({ journal: limits, tell: async () => undefined, clock, telemetry: noTelemetry });
  limits.consume((delivery) => keeper.handle(delivery));
  const quiet = () => waitFor('everything asked is handled', () => broker.openInputs('limits').length === 0);
  for (const runId of ['a', 'b', 'c'])
    limits.store(refOf(LIMIT, 'eu'), ask(runId, slots(2), { key: 'eu', priority: 2 }));
  limits.store(refOf(RATE), ask('a', { rate: { limit: 5, perMs: 60_000 }, onFull: 'queue' }));
  await quiet();
  const cli = fakeCli({ json });
  cli.ctx.limits = async () => limits;
  Object.assign(cli.ctx, { now: () => BEGIN + 1 });
  const state = async () => foldLimit(LIMIT, await limits.entries(refOf(LIMIT, 'eu')));
  return { cli, quiet, state };
}

describe('limits', () => {
  test('list shows each key: slots, holders, who waits, what is left of a rate', async () => {
    const { cli } = await setUp();
    await cli.run('limits', 'list');
    const rows = cli.stdout
      .join('')
      .split('\n')
      .map((line) =>
        line
          .trim()
          .split(/\s{2,}/)
          .slice(0, 5),
      );
    expect(rows[1]?.[0]).toBe(RATE);
    expect(rows[1]).toContain('4 of 5');
    expect(rows[2]).toEqual([LIMIT, 'eu', '2', '2', '1']);
  });

  test('list --json has it all', async () => {
    const { cli } = await setUp(true);
    await cli.run('limits', 'list', '--json');
    const [rate, own] = JSON.parse(cli.stdout.join(''));
    expect(rate).toMatchObject({ limit: RATE, rate: { limit: 5, perMs: 60_000, left: 4 }, held: [], waiting: [] });
    expect(own).toMatchObject({ limit: LIMIT, key: 'eu', slots: 2, onFull: 'queue' });
    expect(own.held.map(({ runId }: { runId: string }) => runId)).toEqual(['a', 'b']);
    expect(own.waiting).toEqual([{ workflow: 'orders', runId: 'c', priority: 2, since: BEGIN }]);
  });

  test('show names holders and the waiting in their turns', async () => {
    const { cli } = await setUp();
    await cli.run('limits', 'show', LIMIT, '--key', 'eu');
    const text = cli.stdout.join('');
    expect(text).toContain('2 of 2 held, when full: queue');
    expect(text).toMatch(/HELD BY[\s\S]*orders\/a[\s\S]*orders\/b[\s\S]*WAITS[\s\S]*orders\/c/);
  });

  test('release gives the slot to the next', async () => {
    const { cli, quiet, state } = await setUp();
    await cli.run('limits', 'release', LIMIT, '--key', 'eu', '--holder', 'orders/a');
    await quiet();
    expect((await state()).held.map(({ holder }) => holder.runId)).toEqual(['b', 'c']);
  });

  test.each([
    [['show', LIMIT], `nobody holds or waits for ${LIMIT}`],
    [['release', LIMIT, '--key', 'eu', '--holder', 'orders/c'], `orders/c holds no slot of ${LIMIT}`],
  ])('%j is an error that says what to do', async (argv, message) => {
    const { cli } = await setUp();
    await expect(cli.run('limits', ...argv)).rejects.toMatchObject({
      code: 'MR_INPUT_INVALID',
      message,
      hint: expect.stringContaining('millrace limits'),
    });
  });
});
