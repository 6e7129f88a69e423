/** What the engine's shell asks of others: ports whose adapters live in other folders. */
import type { DeadKind, ErrorCode } from '../../kernel/index.ts';
import type { TraceHeaders } from '../../telemetry/index.ts';
import type { RunRef } from '../journal/port.ts';
import type { Command, Definition, RunState } from '../model/index.ts';

/** Names one attempt of a Prefect step: the identity that is queued, never an event. */
export interface ReconcileKey {
  readonly workflow: string;
  readonly runId: string;
  readonly step: string;
  readonly attempt: number;
}

/** How one look at a key ended: the only thing that decides whether and when it is looked at again. */
export type Outcome =
  /** Both sides say the same, or somebody else will bring news. */
  | { readonly kind: 'done' }
  /** Look again after so many ms: something has been set in motion. */
  | { readonly kind: 'after'; readonly ms: number }
  /** Something outside was not there; look again with backoff. */
  | { readonly kind: 'retry'; readonly reason: string }
  /** Looking again cannot help; a person must. */
  | { readonly kind: 'terminal'; readonly reason: string };

/** A queue of keys that are to be looked at. It is a hint: what it loses, the sweep finds. */
export interface ReconcileQueue {
  /**
   * Asks for a look at the key; a key that waits already is not queued twice. Fails within seconds.
   * @throws MillraceError MR_REDIS_UNREACHABLE when the queue cannot take it
   */
  enqueue(
    key: ReconcileKey,
    options?: { readonly delayMs?: number | undefined; readonly trace?: TraceHeaders | undefined },
  ): Promise<void>;
  /** Hands keys to `handler`, never one key twice at once; requeues by the outcome. */
  consume(
    handler: (key: ReconcileKey, trace?: TraceHeaders) => Promise<Outcome>,
    options: { readonly concurrency: number },
  ): Promise<{ stop(): Promise<void> }>;
  close(): Promise<void>;
}

/** Finds definitions; `manifests` implements it over the definitions bucket. */
export interface DefinitionLookup {
  /** The current definition of the workflow, if one was applied. */
  current(workflow: string): Promise<Definition | undefined>;
  /** The definition a run was started with. */
  byDigest(workflow: string, digest: string): Promise<Definition | undefined>;
}

/** One command of a stored entry, with its place among all commands of that entry (part of message ids). */
export interface PlacedCommand {
  readonly index: number;
  readonly command: Command;
}

/** The commands of one stored entry. */
export interface CommandBatch {
  readonly run: RunRef;
  /** The run's state after the entry (or later): trace context, payload and source come from it. */
  readonly state: RunState;
  readonly entry: { readonly seq: number; readonly at: number };
  readonly commands: readonly PlacedCommand[];
}

/** A message that could not be used, as it was, and why. */
export interface DeadLetter {
  readonly kind: DeadKind;
  readonly workflow: string;
  /** Names the letter in its subject: the run, or the message when there is no run. */
  readonly id: string;
  readonly runId?: string | undefined;
  readonly code: ErrorCode | string;
  readonly reason: string;
  readonly origin: { readonly stream: string; readonly sequence: number; readonly subject: string };
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Where commands go. Everything it sends carries an id that follows from the journal, so sending again is harmless.
 *   O1 `send` resolves only when every command that must not be lost is stored at its receiver;
 *   O2 reconcile keys and cancels are hints: their failure is logged and forgotten (the sweep, the fence).
 */
export interface Outbox {
  /** @throws MillraceError MR_NATS when it is not known that all are stored */
  send(batch: CommandBatch): Promise<void>;
  /** @throws MillraceError MR_NATS */
  deadLetter(letter: DeadLetter): Promise<void>;
}
