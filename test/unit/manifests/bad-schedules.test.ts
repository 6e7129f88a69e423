/** Every way to get a schedule wrong: the exact code, rule, line, column and path. */
import { expect, test } from 'vitest';
import { found, HEAD } from './kit.ts';

const OK_STEP = '  steps: [{name: a, sleep: 1s}]\n';

const CASES = [
  {
    name: 'a schedule that never starts anything, and one that says when in two ways',
    text: `${HEAD}  schedules:\n    - {name: a}\n    - {name: b, every: 1h, at: "2026-01-01T00:00:00Z"}\n${OK_STEP}`,
    problems: [
      'error MR_MANIFEST_INVALID schedule 6:7 spec.schedules[0]',
      'error MR_MANIFEST_INVALID schedule 7:7 spec.schedules[1]',
    ],
  },
  {
    name: 'cron that is none, a zone that is none, a zone and an offset without a use',
    text: `${HEAD}  schedules:\n    - {name: a, cron: "61 * * * *"}\n    - {name: b, cron: "0 6 * * *", timeZone: Mars/Base}\n    - {name: c, every: 1h, timeZone: UTC}\n    - {name: d, cron: "0 6 * * *", offset: 1m}\n${OK_STEP}`,
    problems: [
      'error MR_MANIFEST_INVALID schedule 6:23 spec.schedules[0].cron',
      'error MR_MANIFEST_INVALID schedule 7:46 spec.schedules[1].timeZone',
      'error MR_MANIFEST_INVALID schedule 8:38 spec.schedules[2].timeZone',
      'error MR_MANIFEST_INVALID schedule 9:44 spec.schedules[3].offset',
    ],
  },
  {
    name: 'a time without an offset, an end before the start, two payloads, a long jitter, an unknown variable',
    text: `${HEAD}  schedules:\n    - {name: a, at: "2026-01-01T00:00:00"}\n    - {name: b, every: 1h, startAt: "2026-02-01T00:00:00Z", endAt: "2026-01-01T00:00:00Z"}\n    - {name: c, every: 1h, payload: {n: 1}, with: {n: "1"}}\n    - {name: d, every: 1h, jitter: 2h}\n    - {name: e, every: 1h, with: {n: payload.n}}\n${OK_STEP}`,
    problems: [
      'error MR_MANIFEST_INVALID time 6:21 spec.schedules[0].at',
      'error MR_MANIFEST_INVALID schedule 7:68 spec.schedules[1].endAt',
      'error MR_MANIFEST_INVALID schedule 8:37 spec.schedules[2].payload',
      'error MR_MANIFEST_INVALID schedule 9:36 spec.schedules[3].jitter',
      'error MR_EXPRESSION schedule 10:38 spec.schedules[4].with.n',
    ],
  },
  {
    name: 'two schedules of one name',
    text: `${HEAD}  schedules: [{name: a, every: 1h}, {name: a, every: 2h}]\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_INVALID duplicate-name 5:44 spec.schedules[1].name'],
  },
] as const;

test.each(CASES)('$name', ({ text, problems }) => expect(found(text)).toEqual(problems));
