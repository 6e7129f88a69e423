import { OpsError } from '../lib/errors.ts';
import { isSameProcess, type ProcessIdentity } from '../lib/identity.ts';
import { signalGroup, signalProcess, waitForEnd } from './process.ts';
import { httpOk } from './ready.ts';
import { type ProcessOptions, startProcess } from './start.ts';
import { type RecordedProcess, readState, writeState } from './state.ts';

/** How long a process may take to end in good order: a worker first finishes what it runs. */
const STOP_MS = 30_000;

export interface KeepOptions extends Omit<ProcessOptions, 'detached' | 'onLaunch'> {
  readonly readyUrl: string;
  /** Of the code it runs: a recorded process of another version is replaced. */
  readonly version: string;
  /** Told when a new one is started, before it is ready. */
  readonly onStart?: () => void;
}

export interface KeptProcess {
  readonly name: string;
  readonly logFile: string;
  readonly readyUrl: string;
  /** It was running already. */
  readonly reused: boolean;
}

/**
 * A process that outlives us, recorded in the stack of `stackDir`, so that `down` stops it. The recorded one is used again
 * when it lives, is ready and of the same version; otherwise it is stopped and a new one started.
 */
export async function keepProcess(stackDir: string, options: KeepOptions): Promise<KeptProcess> {
  const { name, version, readyUrl, onStart, ...rest } = options;
  const known = readState(stackDir).processes?.[name];
  if (known !== undefined && isSameProcess(known)) {
    if (known.version === version && (await httpOk(known.readyUrl))) {
      return { name, logFile: known.logFile, readyUrl: known.readyUrl, reused: true };
    }
    await stopRecorded(name, known, STOP_MS);
  }
  const handle = await startProcess({
    ...rest,
    name,
    readyUrl,
    detached: true,
    // Before it is ready: whoever interrupts us now must still be able to take it down.
    onLaunch: ({ identity, logFile }) => {
      record(stackDir, name, { ...identity, readyUrl, logFile, version });
      onStart?.();
    },
  });
  return { name, logFile: handle.logFile, readyUrl, reused: false };
}

function record(stackDir: string, name: string, recorded: RecordedProcess): void {
  const state = readState(stackDir);
  writeState(stackDir, { ...state, processes: { ...state.processes, [name]: recorded } });
}

/** Stops the recorded processes (all, or those named); gives the names of those that were running. */
export async function stopProcesses(stackDir: string, names?: readonly string[]): Promise<string[]> {
  const recorded = Object.entries(readState(stackDir).processes ?? {});
  const stopping = recorded.flatMap(([name, known]) => {
    if (known === undefined || !isSameProcess(known) || names?.includes(name) === false) return [];
    return [stopRecorded(name, known, STOP_MS).then(() => name)];
  });
  return Promise.all(stopping);
}

/** Asks, waits, insists, and sweeps what it leaves behind. */
export async function stopRecorded(name: string, known: ProcessIdentity, waitMs = 10_000): Promise<void> {
  signalProcess(known, 'SIGTERM');
  if (await waitForEnd(known, waitMs)) return signalGroup(known.pid, 'SIGKILL');
  signalGroup(known.pid, 'SIGKILL');
  if (!(await waitForEnd(known, 10_000))) {
    throw new OpsError('MR_LOCKED', `${name} (process ${known.pid}) does not end, not even by kill -9.`);
  }
}

/** Recorded processes that have ended by themselves, each with its log. */
export function endedProcesses(stackDir: string): { readonly name: string; readonly logFile: string }[] {
  return Object.entries(readState(stackDir).processes ?? {}).flatMap(([name, known]) =>
    known === undefined || isSameProcess(known) ? [] : [{ name, logFile: known.logFile }],
  );
}
