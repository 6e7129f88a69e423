/** Ids of deployments: who waits for Prefect, and for how long an answer may be used. */
import { beforeEach, expect, test } from 'vitest';
import { Deployments } from '../../../src/bridge/reconcile/deployments.ts';
import { FakeClock, FakePrefect } from './kit.ts';

const NAME = 'delays/main';
let clock: FakeClock;
let prefect: FakePrefect;
let deployments: Deployments;

beforeEach(() => {
  clock = new FakeClock();
  prefect = new FakePrefect(clock);
  deployments = new Deployments(prefect, clock);
});

test('a burst of runs asks once', async () => {
  expect([await deployments.idOf(NAME), await deployments.idOf(NAME)]).toEqual(['d1', 'd1']);
  expect(prefect.calls).toEqual([`deployment ${NAME}`]);
});

test('an answer of half a minute ago is used while it is asked again, once', async () => {
  await deployments.idOf(NAME);
  prefect.deployments.set(NAME, 'd2');
  clock.advance(30_000);
  expect([deployments.idOf(NAME), deployments.idOf(NAME)].length).toBe(2);
  expect(prefect.calls.length).toBe(2);
  await new Promise(setImmediate);
  expect(await deployments.idOf(NAME)).toBe('d2');
});

test('an answer of ten minutes ago is not used', async () => {
  await deployments.idOf(NAME);
  prefect.deployments.set(NAME, 'd2');
  clock.advance(600_000);
  expect(await deployments.idOf(NAME)).toBe('d2');
});

test('with Prefect away the known answer stays, and a missing deployment is asked for every time', async () => {
  await deployments.idOf(NAME);
  clock.advance(30_000);
  prefect.down = true;
  expect(await deployments.idOf(NAME)).toBe('d1');
  prefect.down = false;
  deployments.forget(NAME);
  prefect.deployments.clear();
  expect([await deployments.idOf(NAME), await deployments.idOf(NAME)]).toEqual([undefined, undefined]);
  expect(prefect.calls.length).toBe(4);
});
