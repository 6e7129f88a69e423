/** What the host of a system (host.ts) and whoever measures it (client.ts) say to each other over the channel of `fork`. */
import type {
  AloneOptions,
  AloneResult,
  FanOutOptions,
  LoadResult,
  OpenLoopOptions,
  OpenLoopResult,
  SaturatedOptions,
  SignalOptions,
  SleepOptions,
} from './measure.ts';
import type { Sync } from './system.ts';

export interface StartOptions {
  /** A URL of the module that exports `start`. */
  readonly module: string;
  readonly sync: Sync;
  readonly dir: string;
}

/** What the started system is and can do. */
export interface About {
  readonly name: string;
  readonly version: string;
  readonly durability: string;
  readonly serverPids: readonly number[];
  readonly can: { readonly fanOut: boolean; readonly sleep: boolean; readonly signal: boolean };
}

/** Each operation with what it takes and gives. */
export interface Operations {
  readonly start: (options: StartOptions) => About;
  readonly saturated: (options: SaturatedOptions) => LoadResult;
  readonly alone: (options: AloneOptions) => AloneResult;
  readonly openLoop: (options: OpenLoopOptions) => OpenLoopResult;
  readonly fanOut: (options: FanOutOptions) => AloneResult;
  readonly sleep: (options: SleepOptions) => AloneResult;
  readonly signal: (options: SignalOptions) => AloneResult;
  readonly stop: (options: Record<string, never>) => null;
}

export type Operation = keyof Operations;
export type OptionsOf<O extends Operation> = Parameters<Operations[O]>[0];
export type ResultOf<O extends Operation> = ReturnType<Operations[O]>;

export type Request = {
  [O in Operation]: { readonly id: number; readonly op: O; readonly options: OptionsOf<O> };
}[Operation];
export type Response =
  | { readonly id: number; readonly result: ResultOf<Operation> }
  | { readonly id: number; readonly error: string };
