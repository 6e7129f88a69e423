/**
 * A durable-execution system under load: what every peer and Millrace itself implement, so that all are measured with the
 * same workloads by the same driver (bench/systems/host.ts), each in a process of its own beside its own servers.
 *
 * Client and worker of a system live together in the process of the host. A function of `n` steps runs n durable steps one after
 * another; each step returns at once, and its result is stored (to the stated durability) before the next begins.
 */

/** `lazy`: acknowledged before it is on the disk (each system's own default or nearest). `always`: fsynced first. */
export type Sync = 'lazy' | 'always';

export interface SystemOptions {
  readonly sync: Sync;
  /** An empty folder for the data of its servers; removed afterwards. */
  readonly dir: string;
}

export interface System {
  readonly name: string;
  /** Of the server and the SDK. */
  readonly version: string;
  /** What is on disk, and how, when a step's result counts as stored here. */
  readonly durability: string;
  /** Process ids of its servers: their processor time and memory are counted beside the host's. */
  readonly serverPids: readonly number[];
  /** Runs a durable function of `steps` steps to its end; the payload goes in with the start, and out of every step. Gives `steps`. */
  run(steps: number, payload: string): Promise<number>;
  /** Runs one durable function that does `width` durable steps at once and waits for all; gives `width`. */
  fanOut?(width: number): Promise<number>;
  /** Runs one durable function that sleeps durably for `ms`; resolves when its result is here. */
  sleep?(ms: number): Promise<void>;
  /** Starts a durable function that waits for a signal; `send` sends it and resolves when the function's result is here. */
  waiting?(): Promise<{ send(): Promise<void> }>;
  /** Stops client, worker and servers. */
  stop(): Promise<void>;
}

/** What a module of bench/peers (or bench/systems/millrace.ts) exports as `start`. */
export type StartSystem = (options: SystemOptions) => Promise<System>;
