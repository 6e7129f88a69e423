/** The context of a one-shot command: each part is opened on first use and closed at the end, last opened first. */
import { type CliContext, type ExitCode, type Output, readArgument, type Settings } from '../cli/index.ts';

export interface ContextOptions {
  readonly out: Output;
  readonly signal: AbortSignal;
  readonly settings: () => Settings;
  readonly exit: (code: ExitCode) => void;
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
    const { natsUrl, natsToken, natsCreds } = options.settings();
    const opened = await connectNats({
      url: natsUrl,
      name: 'millrace-cli',
      token: natsToken,
      credsFile: natsCreds,
    });
    closers.push(() => opened.close());
    return opened;
  });
  const definitions = once(async () => {
    const { openDefinitions } = await import('../manifests/index.ts');
    return openDefinitions((await door()).nc);
  });
  return {
    ctx: { ...options, read: readArgument, door, definitions },
    async close() {
      for (const close of closers.reverse()) await close().catch(() => undefined);
    },
  };
}
