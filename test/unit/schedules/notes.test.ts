/** What plan and doctor say about schedules. */
import { expect, test } from 'vitest';
import { judgeSchedules } from '../../../src/cli/doctor/judge-schedules.ts';
import { scheduleNotes } from '../../../src/manifests/schedule-notes.ts';
import { everyMinute, LineSpec, MINUTE, T0 } from '../../kit/schedule-spec.ts';
import { define } from '../../kit/workflows.ts';

test('a plan says what comes, changes and goes', () => {
  const before = define('w', [], {
    schedules: [everyMinute(), everyMinute({ name: 'gone' }), everyMinute({ name: 'same' })],
  });
  const cron = { name: 'new', cron: '0 6 * * *', timeZone: 'Europe/Berlin', overlap: 'skip', paused: true } as const;
  const after = define('w', [], {
    schedules: [
      everyMinute({ overlap: 'allow' }),
      everyMinute({ name: 'same' }),
      { ...cron, catchUp: { policy: 'latest', windowMs: 1 } },
    ],
  });
  expect(scheduleNotes(before, after)).toEqual([
    '~ schedule tick: every 1m, overlap allow; counts from now, what waits stays',
    '+ schedule new: cron 0 6 * * * (Europe/Berlin), overlap skip, paused',
    '- schedule gone: runs that wait for an open one are dropped, open runs go on',
  ]);
  expect(scheduleNotes(after, after)).toEqual([]);
});

test('a schedule that is overdue is a warning', () => {
  const line = new LineSpec();
  line.set(T0 + 1, everyMinute());
  expect(judgeSchedules([line.state], T0 + MINUTE + 10_000)).toMatchObject([{ level: 'ok' }]);
  expect(judgeSchedules([line.state], T0 + MINUTE + 31_000)).toMatchObject([
    { level: 'warn', found: expect.stringContaining('w/tick') },
  ]);
  expect(judgeSchedules([], T0)).toEqual([]);
});
