/**
 * What processes cost, as Linux keeps it in /proc: processor time and memory of whole trees, since servers have children.
 * On a system without /proc both are 0.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks of the processor times in /proc are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;
const PAGE_KB = 4;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** Its own processor time, and that of its children that have ended. */
  readonly cpuMs: number;
}

/** One line of /proc/<pid>/stat. Pure. */
export function parseStat(line: string): Stat {
  // The command name is in brackets and may hold spaces and brackets of its own: count from the last one.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const number = (at: number): number => Number(fields[at] ?? 0);
  const ticks = number(11) + number(12) + number(13) + number(14);
  return { pid: Number.parseInt(line, 10), parent: number(1), cpuMs: ticks * TICK_MS };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // it has ended, or there is no /proc
  }
}

function allStats(): readonly Stat[] {
  let names: readonly string[] = [];
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    // no /proc
  }
  return names.flatMap((name) => {
    const line = read(`/proc/${name}/stat`);
    return line === undefined ? [] : [parseStat(line)];
  });
}

function treeOf(roots: readonly number[], stats: readonly Stat[], without: ReadonlySet<number>): readonly Stat[] {
  const found: Stat[] = [];
  const seen = new Set<number>(without);
  const waiting = [...roots];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    if (seen.has(pid)) continue;
    seen.add(pid);
    for (const stat of stats) {
      if (stat.pid === pid) found.push(stat);
      else if (stat.parent === pid) waiting.push(stat.pid);
    }
  }
  return found;
}

/** The process ids of the trees below (and with) `roots`. */
export function processTree(roots: readonly number[]): readonly number[] {
  return treeOf(roots, allStats(), new Set()).map(({ pid }) => pid);
}

/** Pages that several processes share count once in all, so the sum over a tree is what the tree takes. */
function memoryKb(pid: number): number {
  const shared = /^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1];
  if (shared !== undefined) return Number(shared);
  return Number(read(`/proc/${pid}/statm`)?.split(' ')[1] ?? 0) * PAGE_KB;
}

/** Of the host (client and worker) and of the servers beside it. */
export interface Split {
  readonly host: number;
  readonly servers: number;
}

function bothTrees(servers: readonly number[]): { readonly host: readonly Stat[]; readonly servers: readonly Stat[] } {
  const stats = allStats();
  // A server is often a child of the host: its tree counts for the servers alone.
  return {
    host: treeOf([process.pid], stats, new Set(servers)),
    servers: treeOf(servers, stats, new Set()),
  };
}

/** Processor time since their start, in milliseconds, of this process's tree and of the servers' trees. */
export function cpuTimes(servers: readonly number[]): Split {
  const sum = (stats: readonly Stat[]): number => stats.reduce((total, { cpuMs }) => total + cpuMs, 0);
  const trees = bothTrees(servers);
  return { host: sum(trees.host), servers: sum(trees.servers) };
}

/** Resident memory now, in MB, shared pages counted once. */
export function memoryMb(servers: readonly number[]): Split {
  const sum = (stats: readonly Stat[]): number => stats.reduce((total, { pid }) => total + memoryKb(pid), 0) / 1024;
  const trees = bothTrees(servers);
  return { host: sum(trees.host), servers: sum(trees.servers) };
}
