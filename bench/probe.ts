/** Processor time and memory of processes: this one through Node, others through /proc (Linux; elsewhere they read as 0). */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Usage {
  /** Processor time since the process began, user and system, in ms. */
  readonly cpuMs: number;
  /** Resident memory in MB (10⁶ bytes). */
  readonly rssMb: number;
}

/** What was used while something ran, on both sides. */
export interface Used {
  readonly seconds: number;
  readonly cpuMs: number;
  readonly serverCpuMs: number;
  /** At the end of it. */
  readonly rssMb: number;
  readonly serverRssMb: number;
}

export interface Probe {
  /** Runs `work`, which gives its seconds, and says what it used of this process and of the server. */
  during(work: () => Promise<number>): Promise<Used>;
}

let ticks: number | undefined;

/** Clock ticks a second in /proc, 100 on every Linux that anybody runs; asked once. */
function ticksPerSecond(): number {
  try {
    ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) || 100;
  } catch {
    ticks ??= 100;
  }
  return ticks;
}

/** Of one process; zeros when it is gone or the platform has no /proc. */
export function usageOf(pid: number): Usage {
  if (pid === process.pid) {
    const { user, system } = process.cpuUsage();
    return { cpuMs: (user + system) / 1_000, rssMb: process.memoryUsage.rss() / 1e6 };
  }
  try {
    return parseUsage(
      readFileSync(`/proc/${pid}/stat`, 'utf8'),
      readFileSync(`/proc/${pid}/status`, 'utf8'),
      ticksPerSecond(),
    );
  } catch {
    return { cpuMs: 0, rssMb: 0 };
  }
}

/** Reads `/proc/<pid>/stat` and `status`. The name in brackets may hold blanks and brackets, so fields count from the last one. */
export function parseUsage(stat: string, status: string, perSecond: number): Usage {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [Number(fields[11]), Number(fields[12])];
  const rssKb = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  return { cpuMs: ((user + system) * 1_000) / perSecond, rssMb: (rssKb * 1_024) / 1e6 };
}

/** @param serverPids asked at each look: a restarted server has another one */
export function openProbe(serverPids: () => readonly number[]): Probe {
  const servers = (): Usage => {
    const all = serverPids().map(usageOf);
    return { cpuMs: sum(all.map(({ cpuMs }) => cpuMs)), rssMb: sum(all.map(({ rssMb }) => rssMb)) };
  };
  return {
    async during(work) {
      const [own, theirs] = [usageOf(process.pid), servers()];
      const seconds = await work();
      const [ownAfter, theirsAfter] = [usageOf(process.pid), servers()];
      return {
        seconds,
        cpuMs: ownAfter.cpuMs - own.cpuMs,
        serverCpuMs: theirsAfter.cpuMs - theirs.cpuMs,
        rssMb: ownAfter.rssMb,
        serverRssMb: theirsAfter.rssMb,
      };
    },
  };
}

/** Several laps as one: times add up, memory is the largest seen. */
export function addUsed(laps: readonly Used[]): Used {
  return {
    seconds: sum(laps.map(({ seconds }) => seconds)),
    cpuMs: sum(laps.map(({ cpuMs }) => cpuMs)),
    serverCpuMs: sum(laps.map(({ serverCpuMs }) => serverCpuMs)),
    rssMb: Math.max(0, ...laps.map(({ rssMb }) => rssMb)),
    serverRssMb: Math.max(0, ...laps.map(({ serverRssMb }) => serverRssMb)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
