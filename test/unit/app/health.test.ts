import { expect, test } from 'vitest';
import { degradable, starting } from '../../../src/app/health.ts';

test('a part that may be away says so and keeps the process ready; a healthy one is left alone', () => {
  const well = { name: 'prefect', ok: true, detail: 'answers' };
  expect(degradable([well, { name: 'queue', ok: false, detail: 'gone' }])).toEqual([
    well,
    { name: 'queue', ok: true, detail: 'degraded: gone' },
  ]);
});

test('while it starts a process is not ready', () => expect(starting.every(({ ok }) => !ok)).toBe(true));
