import { describe, expect, it } from 'vitest';
import { diskFlushes, machineCpu, metricOf } from '../../../bench/scale/reads.ts';
import { type Sample, verdictOf } from '../../../bench/scale/verdict.ts';

function samples(count: number, driverMb: (i: number) => number, workerMb: (i: number) => number): Sample[] {
  const node = (rssMb: number, loopP99Ms: number) => ({
    ...{ rssMb, cpuMs: 0, heapMb: rssMb / 2, externalMb: 0, loopP99Ms },
    ...{ waitShare: loopP99Ms / 100, gcShare: loopP99Ms / 200 },
  });
  return Array.from({ length: count }, (_, i) => ({
    second: i * 10,
    driver: node(driverMb(i), 11),
    worker: node(workerMb(i), i === count - 1 ? 40 : 12),
    server: { rssMb: 100 + i, cpuMs: 0, messages: 0, streamMb: 0 },
    othersShare: i / 100,
    bench: { rssMb: 0, open: 0, loopP99Ms: 0 },
  }));
}

describe('the verdict of a soak', () => {
  it('is flat when memory only warms up and spikes', () => {
    const warming = (i: number): number => (i < 20 ? 100 + 5 * i : i % 17 === 0 ? 260 : 200);
    const verdict = verdictOf(samples(100, warming, () => 150));
    const { worst, loopP99Ms, loopWorstMs, enough } = verdict;
    expect([worst.ratio, worst.mbPerHour, loopP99Ms, loopWorstMs, enough]).toEqual([1, 0, 12, 40, true]);
    expect([verdict.waitShare, verdict.gcShare, verdict.othersShare]).toEqual([0.12, 0.06, 0.59]);
  });

  it('names the process that grows, the server aside', () => {
    const { worst, growth } = verdictOf(
      samples(
        100,
        () => 100,
        (i) => 100 + i,
      ),
    );
    const heap = { heapFirstMb: 60, heapLastMb: 87 }; // the least of each third: what a full collection leaves
    expect(worst).toEqual({ process: 'worker', firstMb: 132, lastMb: 186, ratio: 132 / 186, mbPerHour: 360, ...heap });
    expect(growth.map(({ process }) => process)).toEqual(['driver', 'worker', 'server']);
  });

  it('says when there was too little to judge', () => {
    const one = (): number => 1;
    expect(verdictOf(samples(5, one, one)).enough).toBe(false);
  });
});

describe('readings', () => {
  it('sums a metric over its labels and knows names that begin alike apart', () => {
    const text = 'a_total{x="1"} 2\na_total{x="2"} 3\na_total_more 9\nb 4\n';
    expect([metricOf(text, 'a_total'), metricOf(text, 'b'), metricOf(text, 'c')]).toEqual([5, 4, undefined]);
  });

  it('tell busy from idle, stolen time being busy and guests counted once', () => {
    const stat = 'cpu  100 5 40 700 50 0 3 2 60 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n';
    expect(machineCpu(stat)).toEqual({ busyMs: 1_500, allMs: 9_000 });
  });

  it('counts flushes of disks, not of their partitions or of loop devices', () => {
    const line = (name: string, flushes: number): string => ` 254 0 ${name} ${'1 '.repeat(15)}${flushes} 7`;
    const all = [line('vda', 5), line('vda1', 100), line('loop0', 100), line('nvme0n1', 6), line('nvme0n1p1', 100)];
    expect(diskFlushes(all.join('\n'))).toBe(11);
  });
});
