import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Who a pid is. A pid alone is a lottery ticket: after a reboot or some hours it may name a stranger, and `down` must
 * never stop a stranger. The start time, as the kernel keeps it, tells the two apart.
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly started: string;
}

/** The start mark of a live process; undefined when there is none, or only its zombie. */
export function startMark(pid: number): string | undefined {
  return process.platform === 'linux' ? linuxStartMark(pid) : psStartMark(pid);
}

function linuxStartMark(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name is in brackets and may hold spaces and brackets of its own: count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const state = fields[0];
    const ticks = fields[19];
    // A zombie with threads left is still dying: its ports and files are not yet given back.
    const isZombie = state === 'Z' && Number(fields[17]) <= 1;
    if (ticks === undefined || isZombie || state === 'X') return undefined;
    // Ticks count from boot, so the boot belongs to the mark.
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8)}:${ticks}`;
  } catch {
    return undefined;
  }
}

function psStartMark(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    return line === '' || line.startsWith('Z') ? undefined : line.replace(/^\S+\s+/, '');
  } catch {
    return undefined;
  }
}

export function isSameProcess(identity: ProcessIdentity): boolean {
  return startMark(identity.pid) === identity.started;
}

export function identityOf(pid: number): ProcessIdentity | undefined {
  const started = startMark(pid);
  return started === undefined ? undefined : { pid, started };
}
