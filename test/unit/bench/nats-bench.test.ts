import { describe, expect, it } from 'vitest';
import { natsBenchArguments, readRate } from '../../../bench/nats-bench.ts';

const HEAD = '#RunID,ClientID,MsgCount,MsgBytes,MsgsPerSec,BytesPerSec,DurationSecs,MinLatencyMicroSecs';
const PRINTED =
  'NATS JetStream synchronous publisher stats: 6,249 msgs/sec ~ 781 KiB/sec ~ min: 37.41us ~ avg: 159.59us ~ max: 40,502.28us';

describe('what nats bench answers', () => {
  it('is read from the report, by the name of its column', () => {
    expect(readRate(`${HEAD}\nXZ6,P0,4000,256000,6249,799965.7,0.32,37.4\n`, '')).toBe(6_249);
    expect(readRate('MsgsPerSec,#RunID\r\n5300.5,XZ6\r\n', '')).toBe(5_300.5);
  });

  it('is the sum over its clients', () => {
    expect(readRate(`${HEAD}\nA,P0,1,1,1000,1,1,1\nA,P1,1,1,2000,1,1,1\n`, '')).toBe(3_000);
  });

  it('is read from what it prints when there is no report, or one without the column', () => {
    expect(readRate('', `\n${PRINTED}\n`)).toBe(6_249);
    expect(readRate('a,b\n1,2\n', PRINTED)).toBe(6_249);
    expect(readRate('', 'NATS JetStream asynchronous publisher stats: 158,000 msgs/sec ~ 19 MiB/sec')).toBe(158_000);
  });

  it.each([
    ['nothing', '', ''],
    ['a report without lines', HEAD, ''],
    ['a line that is cut short', `${HEAD}\nXZ6,P0`, ''],
    ['a rate of zero', `${HEAD}\nA,P0,1,1,0,1,1,1`, 'stats: 0 msgs/sec'],
    ['a log alone', '', '12:12:40 Using stream: benchstream'],
  ])('is no rate when there is %s', (_what, csv, printed) => {
    expect(readRate(csv, printed)).toBeUndefined();
  });
});

describe('how nats bench is asked', () => {
  const options = {
    ...{ command: 'nats', url: 'nats://127.0.0.1:1', dir: '/d', stream: 'S', subject: 's.1' },
    ...{ messages: 10, bytes: 128, batch: 500 },
  };

  it('gives a batch to every mode but the one that has none', () => {
    expect(natsBenchArguments({ ...options, mode: 'async' }, '/d/r.csv').join(' ')).toBe(
      '--no-context --server nats://127.0.0.1:1 bench js pub async --batch 500 --stream S --msgs 10 --size 128B ' +
        '--no-progress --csv /d/r.csv s.1',
    );
    expect(natsBenchArguments({ ...options, mode: 'sync' }, '/d/r.csv')).not.toContain('--batch');
  });
});
