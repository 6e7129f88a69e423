/** The context of a one-shot command: each part is opened on first use and closed at the end, last opened first. */

import {
  type CliContext,
  type ExitCode,
  type Output,
  type RoleOptions,
  readArgument,
  type Settings,
  writeText,
} from '../cli/index.ts';
import { MillraceError } from '../kernel/index.ts';
import { noTelemetry, type TraceHeaders } from '../telemetry/index.ts';

export interface ContextOptions {
  readonly out: Output;
  readonly signal: AbortSignal;
  readonly settings: () => Settings;
  readonly exit: (code: ExitCode) => void;
  readonly now: () => number;
  readonly newId: () => string;
  /** The package's version. */
  readonly version: string;
  readonly by: string;
  readonly trace?: TraceHeaders;
}

/** Calls `make` once, however often it is asked. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** A context and how to close what it opened. */
export function createContext(options: ContextOptions): { readonly ctx: CliContext; close(): Promise<void> } {
  const closers: (() => Promise<void>)[] = [];
  // Modules load on first use as well: `millrace --help` must not wait for a NATS client.
  const door = once(async () => {
    const { connectNats } = await import('../drivers/index.ts');
    const { natsUrl, natsToken, natsCreds, groupCommit } = options.settings();
    const opened = await connectNats({
      url: natsUrl,
      name: 'millrace-cli',
      token: natsToken,
      credsFile: natsCreds,
      groupCommit,
    });
    closers.push(() => opened.close());
    return opened;
  });
  const definitions = once(async () => {
    const { openDefinitions } = await import('../manifests/index.ts');
    return openDefinitions((await door()).nc);
  });
  const closed = <T extends { close(): void }>(open: () => Promise<T>): (() => Promise<T>) =>
    once(async () => {
      const opened = await open();
      closers.push(async () => opened.close());
      return opened;
    });
  const journal = closed(async () => (await import('../engine/index.ts')).openJournal(await door()));
  const deadLetters = once(async () => {
    const { openDeadLetters } = await import('../engine/index.ts');
    return openDeadLetters(await door());
  });
  const lines = closed(async () => (await import('../schedules/index.ts')).openLines(await door()));
  const limits = closed(async () => (await import('../limits/index.ts')).openLimitJournal({ door: await door() }));
  const sleep = async (ms: number): Promise<void> => {
    const { systemClock } = await import('../drivers/index.ts');
    await systemClock.sleep(ms, options.signal);
  };
  const reader = once(async () => {
    const { openReader } = await import('../replay/index.ts');
    const { js, jsm } = await door();
    return openReader(js, jsm);
  });
  const prefect = once(async () => {
    const { prefectUrl, prefectApiKey } = options.settings();
    if (prefectUrl === undefined) {
      throw new MillraceError('MR_CONFIG', 'no Prefect is configured', {
        hint: 'set MILLRACE_PREFECT_URL to its API, for example http://127.0.0.1:4200/api',
        place: { path: 'MILLRACE_PREFECT_URL' },
      });
    }
    const { createPrefectClient } = await import('../bridge/index.ts');
    return createPrefectClient({ url: prefectUrl, apiKey: prefectApiKey, telemetry: noTelemetry });
  });
  const runController = async (role: RoleOptions): Promise<void> => {
    const { runControllerRole } = await import('./role.node.ts');
    await runControllerRole(options.settings(), options.version, role);
  };
  return {
    ctx: {
      ...{ ...options, read: readArgument, write: writeText, runController },
      ...{ door, definitions, journal, deadLetters, lines, limits, sleep, reader, prefect },
    },
    async close() {
      for (const close of closers.reverse()) await close().catch(() => undefined);
    },
  };
}
