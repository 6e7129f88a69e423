import { describe, expect, it } from 'vitest';
import { chain, fan } from '../../../bench/peers/bullmq-flows.ts';
import { serverArguments } from '../../../bench/peers/temporal-server.ts';

const job = (value: number, payload: string) => ({ name: 'step', queueName: 'q', data: { value, payload } });

describe('a flow of BullMQ', () => {
  it('has each step as the only child of the next, the first innermost', () => {
    expect(chain('q', 'id', 3, 'p')).toEqual({
      ...job(3, 'p'),
      opts: { jobId: 'id' },
      children: [{ ...job(2, 'p'), children: [job(1, 'p')] }],
    });
  });

  it('of one step is a job without children', () => {
    expect(chain('q', 'id', 1, 'p')).toEqual({ ...job(1, 'p'), opts: { jobId: 'id' } });
  });

  it('fans out to as many children as it is wide', () => {
    const { children = [], ...parent } = fan('q', 'id', 3);
    expect(parent).toEqual({ ...job(3, ''), opts: { jobId: 'id' } });
    expect(children).toEqual([job(0, ''), job(1, ''), job(2, '')]);
  });
});

describe('the settings of Temporal', () => {
  const pragmas = (sync: 'lazy' | 'always'): readonly string[] => {
    const given = serverArguments(sync, '/d', 7233);
    return given.filter((_, i) => given[i - 1] === '--sqlite-pragma');
  };

  it('fsync with every transaction, or at checkpoints alone', () => {
    expect(pragmas('always')).toEqual(['journal_mode=WAL', 'synchronous=FULL']);
    expect(pragmas('lazy')).toEqual(['journal_mode=WAL', 'synchronous=NORMAL']);
  });

  it('keep its data in the folder it is given, on the port it is given', () => {
    expect(serverArguments('lazy', '/d', 7233).join(' ')).toContain('--port 7233 --db-filename /d/t.db');
  });

  it('are JSON, as its dynamic configuration wants them', () => {
    const given = serverArguments('lazy', '/d', 1);
    const values = given.filter((_, i) => given[i - 1] === '--dynamic-config-value');
    expect(values.length).toBeGreaterThan(0);
    for (const value of values) expect(value).toMatch(/^[\w.]+=(true|false|\d+)$/);
  });
});
