import { describe, expect, it } from 'vitest';
import { Board, bar, parseEvent, progressLine, tableLines } from '../../../ops/demo/board.ts';

const event = (subject: string) => {
  const parsed = parseEvent(subject);
  if (parsed === undefined) throw new Error(subject);
  return parsed;
};

describe('parseEvent', () => {
  it.each([
    ['evt.run.w.r1.started', { workflow: 'w', runId: 'r1', step: undefined, event: 'started' }],
    ['evt.step.w.r1.s.completed', { workflow: 'w', runId: 'r1', step: 's', event: 'completed' }],
    ['evt.flow.w.r1.s.RUNNING', undefined],
    ['evt.run.w.r1', undefined],
    ['other.run.w.r1.started', undefined],
  ])('%s', (subject, expected) => expect(parseEvent(subject)).toEqual(expected));
});

describe('Board', () => {
  it("given a run's events: follows it from waiting to its end", () => {
    const board = new Board();
    board.expect('delay-report', 'r1');
    const seen = [board.runs[0]?.status];
    for (const subject of [
      'evt.run.delay-report.r1.started',
      'evt.step.delay-report.r1.compute.completed',
      'evt.run.delay-report.r1.completed',
    ]) {
      board.apply(event(subject));
      seen.push(board.runs[0]?.status);
    }
    expect(seen).toEqual(['waiting', 'running', 'running', 'completed']);
    expect([board.ended, board.total, board.computing]).toEqual([1, 1, 0]);
  });

  it('given a step event after the end: the run stays ended', () => {
    const board = new Board();
    board.expect('w', 'r1');
    board.apply(event('evt.run.w.r1.failed'));
    expect(board.apply(event('evt.step.w.r1.s.cancelled'))).toBe(false);
    expect(board.count('w', 'failed')).toBe(1);
  });

  it('given events before the run is expected: they count once it is', () => {
    const board = new Board();
    expect(board.apply(event('evt.run.w.r1.started'))).toBe(false);
    expect(board.total).toBe(0);
    board.expect('w', 'r1');
    expect(board.count('w', 'running')).toBe(1);
  });

  it('given a run that has not computed: it counts as computing until its flow step or the run ends', () => {
    const board = new Board();
    board.expect('quake-alert', 'r1');
    board.expect('delay-report', 'r2');
    expect(board.computing).toBe(2);
    board.apply(event('evt.step.quake-alert.r1.enrich.completed'));
    expect(board.computing).toBe(2);
    board.apply(event('evt.step.quake-alert.r1.assess.completed'));
    board.apply(event('evt.run.delay-report.r2.failed'));
    expect(board.computing).toBe(0);
  });
});

describe('what is shown', () => {
  it('given two of four ended: a table with a bar', () => {
    const board = new Board();
    for (const id of ['a', 'b', 'c']) board.expect('w', id);
    board.apply(event('evt.run.w.a.completed'));
    board.apply(event('evt.run.w.b.failed'));
    expect(tableLines(board, 4, 12_345)).toEqual([
      '  workflow       waiting   running completed    failed cancelled',
      '  w                    1         ·         1         1         ·',
      `  [${'█'.repeat(20)}${'░'.repeat(20)}] 2 of 4 runs ended, 12 s`,
    ]);
    expect(progressLine(board, 4, 12_345)).toBe('  12 s  2 of 4 runs ended, 0 running, 1 failed');
  });

  it.each([
    [0, 0, '[░░░░]'],
    [1, 2, '[██░░]'],
    [9, 2, '[████]'],
  ])('a bar of %d of %d', (done, total, text) => expect(bar(done, total, 4)).toBe(text));
});
