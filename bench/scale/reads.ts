/** What processes, servers and disks say about themselves: /proc, Prometheus text, the NATS server's monitoring. */
import { readFileSync } from 'node:fs';

/** Of one process, from /proc; zeros where there is none. */
export interface ProcessReading {
  readonly rssMb: number;
  /** The most it ever had. */
  readonly peakRssMb: number;
  readonly cpuMs: number;
  readonly writeCalls: number;
  /** How long the main thread was ready to run and no core was free, since it began; 0 where the kernel does not say. */
  readonly mainWaitMs: number;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended, or this is no Linux
  }
}

const kb = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
const TICK_MS = 10;

/** Memory in MB of 10⁶ bytes; processor time, user and system, since it began. */
export function readProcess(pid: number): ProcessReading {
  const status = read(`/proc/${pid}/status`);
  const stat = read(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    rssMb: (kb(status, 'VmRSS') * 1_024) / 1e6,
    peakRssMb: (kb(status, 'VmHWM') * 1_024) / 1e6,
    cpuMs: (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS,
    writeCalls: Number(/^syscw: (\d+)/m.exec(read(`/proc/${pid}/io`))?.[1] ?? 0),
    mainWaitMs: Number(read(`/proc/${pid}/task/${pid}/schedstat`).split(' ')[1] ?? 0) / 1e6,
  };
}

/**
 * Flush requests that the kernel has sent to all disks: what an fsync costs a disk. Machine-wide, so it counts a process alone
 * only while nobody else syncs; on a machine without such disks it is 0.
 */
export function diskFlushes(diskstats = read('/proc/diskstats')): number {
  return diskstats
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => /^(vd|sd|xvd)[a-z]+$|^nvme\d+n\d+$/.test(fields[2] ?? ''))
    .reduce((sum, fields) => sum + Number(fields[18] ?? 0), 0);
}

/** Processor time of all cores since the machine began: what somebody used or the host withheld, and all there was. */
export function machineCpu(stat = read('/proc/stat')): { readonly busyMs: number; readonly allMs: number } {
  const ticks = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').slice(0, 8).map(Number); // guests' are in user's
  const all = ticks.reduce((sum, value) => sum + value, 0);
  return { busyMs: (all - (ticks[3] ?? 0) - (ticks[4] ?? 0)) * TICK_MS, allMs: all * TICK_MS };
}

/** The value of one metric of Prometheus' text format, summed over its labels; undefined when it is not there. */
export function metricOf(text: string, name: string): number | undefined {
  const values = text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)));
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

/** What a Node process of ours tells Prometheus about itself. */
export interface NodeReading {
  readonly heapMb: number;
  readonly externalMb: number;
  /**
   * 99th percentile, since the last reading, of how much later than it should Node's event loop monitor came to look. Its metric is
   * the time between two looks, so that an idle process reads 10 ms and a bit; those 10 are taken off here.
   */
  readonly loopP99Ms: number;
  /** Spent in garbage collection of any kind since it began, waiting for a core included. */
  readonly gcMs: number;
}

/** The time between two looks of an event loop monitor; prom-client's setting unless told otherwise. */
export const LOOP_LOOK_MS = 10;

export async function readNode(origin: string): Promise<NodeReading> {
  const text = await textOf(`${origin}/metrics`);
  const value = (name: string): number => metricOf(text, `millrace_nodejs_${name}`) ?? Number.NaN;
  return {
    heapMb: value('heap_size_used_bytes') / 1e6,
    externalMb: value('external_memory_bytes') / 1e6,
    loopP99Ms: Math.max(0, value('eventloop_lag_p99_seconds') * 1_000 - LOOP_LOOK_MS),
    gcMs: value('gc_duration_seconds_sum') * 1_000,
  };
}

/** All metrics of a process. */
export const textOf = async (url: string): Promise<string> =>
  (await fetch(url, { signal: AbortSignal.timeout(10_000) })).text();

/** Counters of a nats-server since it began, and what its streams hold. */
export interface ServerReading {
  /** Messages and bytes that clients sent to it and got from it: publishes, deliveries, acknowledgements, requests. */
  readonly inMessages: number;
  readonly outMessages: number;
  readonly inBytes: number;
  readonly outBytes: number;
  /** Calls of the JetStream API (stream and consumer requests; not publishes, pulls, acknowledgements). */
  readonly apiCalls: number;
  /** Messages in all streams, and the bytes they take in them. */
  readonly messages: number;
  readonly bytes: number;
}

interface Varz {
  readonly in_msgs: number;
  readonly out_msgs: number;
  readonly in_bytes: number;
  readonly out_bytes: number;
}

interface Jsz {
  readonly api: { readonly total: number };
  readonly messages: number;
  readonly bytes: number;
}

export async function readServer(monitor: string): Promise<ServerReading> {
  const get = async <T>(path: string): Promise<T> => JSON.parse(await textOf(`${monitor}/${path}`)) as T;
  const [varz, jsz] = await Promise.all([get<Varz>('varz'), get<Jsz>('jsz')]);
  return {
    inMessages: varz.in_msgs,
    outMessages: varz.out_msgs,
    inBytes: varz.in_bytes,
    outBytes: varz.out_bytes,
    apiCalls: jsz.api.total,
    messages: jsz.messages,
    bytes: jsz.bytes,
  };
}
