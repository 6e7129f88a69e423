/** What a host of durable functions needs from outside. */
import type { InputDelivery, Journal, RunRef } from '../engine/index.ts';
import type { ExecutionPorts } from './runtime.ts';
import type { Ending } from './types.ts';

export interface HostPorts extends Omit<ExecutionPorts, 'append' | 'entries'> {
  readonly journal: Pick<Journal, 'append' | 'entries' | 'inputsBetween'>;
  /** Keeps what is no input; resolves when it is stored. */
  readonly refuse: (delivery: InputDelivery, code: string, reason: string) => Promise<void>;
  /** Tells whoever waits for the run's end; a hint. */
  readonly notify: (inbox: string, run: RunRef, ending: Ending) => void;
  /** Tells the run's executor, if it lives, to look at the log; a hint. */
  readonly wake: (run: RunRef) => void;
}

export interface HostOptions {
  /** Unique for each start of each process: what claims name. */
  readonly worker: string;
  /** Resting executions kept in memory, so that their next input needs no replay; 1,000 by default. */
  readonly keepResting?: number;
}
