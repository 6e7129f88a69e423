/** Processor time and memory while something runs, of this process and of the servers beside it. */
import { cpuTimes, memoryMb } from './systems/proc.ts';

export interface Used {
  readonly seconds: number;
  /** Of this process, its children other than the servers included. */
  readonly cpuMs: number;
  readonly serverCpuMs: number;
  /** Resident at the end of it, shared pages counted once. */
  readonly rssMb: number;
  readonly serverRssMb: number;
}

export interface Probe {
  /** Runs `work`, which gives its seconds, and says what it used. */
  during(work: () => Promise<number>): Promise<Used>;
}

/** @param serverPids asked at each look: a restarted server has another one */
export function openProbe(serverPids: () => readonly number[]): Probe {
  return {
    async during(work) {
      const before = cpuTimes(serverPids());
      const seconds = await work();
      const [after, memory] = [cpuTimes(serverPids()), memoryMb(serverPids())];
      return {
        seconds,
        cpuMs: after.host - before.host,
        serverCpuMs: after.servers - before.servers,
        rssMb: memory.host,
        serverRssMb: memory.servers,
      };
    },
  };
}

/** Several laps as one: times add up, memory is the largest seen. */
export function addUsed(laps: readonly Used[]): Used {
  const sum = (of: (used: Used) => number): number => laps.reduce((total, used) => total + of(used), 0);
  const most = (of: (used: Used) => number): number => Math.max(0, ...laps.map(of));
  return {
    seconds: sum(({ seconds }) => seconds),
    cpuMs: sum(({ cpuMs }) => cpuMs),
    serverCpuMs: sum(({ serverCpuMs }) => serverCpuMs),
    rssMb: most(({ rssMb }) => rssMb),
    serverRssMb: most(({ serverRssMb }) => serverRssMb),
  };
}
