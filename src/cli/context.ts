/**
 * What every command is given. The composition root (`app/`) makes it; commands open nothing themselves, so that a
 * command under test gets whatever the test wants, and the process closes what was opened in one place.
 */
import type { Command } from 'commander';
import type { PrefectApi } from '../bridge/index.ts';
import type { NatsDoor } from '../drivers/index.ts';
import type { DeadLetters, Journal } from '../engine/index.ts';
import type { GroupCommit } from '../kernel/index.ts';
import type { LimitJournal } from '../limits/index.ts';
import type { DefinitionStore } from '../manifests/index.ts';
import type { RunReader } from '../replay/index.ts';
import type { JetStreamLines } from '../schedules/index.ts';
import type { TraceHeaders } from '../telemetry/index.ts';
import type { ExitCode } from './format-error.ts';
import type { Output } from './output.ts';

/** Settings of a process: the environment (docs/protocol.md), overridden by global options. */
export interface Settings {
  readonly natsUrl: string;
  readonly natsToken?: string;
  /** Path of a credentials file. */
  readonly natsCreds?: string;
  /** The server's monitoring address, e.g. `http://127.0.0.1:8222`. */
  readonly natsMonitorUrl?: string;
  readonly redisUrl?: string;
  readonly prefectUrl?: string;
  readonly prefectApiKey?: string;
  /** Where people look at Prefect; by default its API's address without `/api`. */
  readonly prefectUiUrl?: string;
  readonly otlpUrl?: string;
  /** Jaeger's query address, for links. */
  readonly jaegerUrl?: string;
  readonly httpPort: number;
  readonly logLevel: string;
  readonly pool: string;
  /** Whether messages that wait for one stream share a batch, and so an fsync. */
  readonly groupCommit: GroupCommit;
  /** Where the state changes of Prefect are heard of. */
  readonly prefectEvents: 'socket' | 'stream';
}

/** How a long-running process is started. */
export interface RoleOptions {
  /** Instead of the setting's. */
  readonly httpPort?: number;
  /** Wait for NATS instead of giving up when it does not answer at first. */
  readonly wait: boolean;
}

export interface CliContext {
  readonly out: Output;
  /** Aborts on the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /**
   * The settings.
   * @throws MillraceError MR_CONFIG naming the variable
   */
  settings(): Settings;
  /**
   * The connection to NATS; opened on first use, closed when the command ends.
   * @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS_TOO_OLD, MR_NATS
   */
  door(): Promise<NatsDoor>;
  /** The definitions bucket, over {@link CliContext.door}. */
  definitions(): Promise<DefinitionStore>;
  /** The journal, over {@link CliContext.door}. */
  journal(): Promise<Journal>;
  /** The dead letters, over {@link CliContext.door}. */
  deadLetters(): Promise<DeadLetters>;
  /** Schedules, over {@link CliContext.door}. */
  lines(): Promise<JetStreamLines>;
  /** Limits, over {@link CliContext.door}. */
  limits(): Promise<LimitJournal>;
  /** Waits, unless the command is interrupted: then it rejects. */
  sleep(ms: number): Promise<void>;
  /** Reads whole workflows, over {@link CliContext.door}. */
  reader(): Promise<RunReader>;
  /**
   * Prefect's API; opened without asking it anything.
   * @throws MillraceError MR_CONFIG when no Prefect is configured
   */
  prefect(): Promise<PrefectApi>;
  /**
   * Runs the controller until the process is told to end; the command is over when it has ended.
   * @throws MillraceError what a part that is needed at the start throws, MR_PORT_IN_USE
   */
  runController(options: RoleOptions): Promise<void>;
  /** Wall clock, ms since the epoch. */
  now(): number;
  /** A random id: what makes a signal or a run without a key one of its own. */
  newId(): string;
  /** Who types: stands in the journal as the cause of what a person did. */
  readonly by: string;
  /** Trace context of the caller's environment (`TRACEPARENT`), if it carries one. */
  readonly trace?: TraceHeaders;
  /** Sets the exit code of a command that went through but has bad news (1: it found problems). */
  exit(code: ExitCode): void;
  /** The text of an argument: itself, or the content of the file after `@` (`@-` reads stdin). */
  read(argument: string): Promise<string>;
  /**
   * Writes a file that a person named.
   * @throws MillraceError MR_USAGE when it cannot be written
   */
  write(path: string, text: string): Promise<void>;
}

/** A command file: adds its commands to the program. */
export type Register = (program: Command, ctx: CliContext) => void;
