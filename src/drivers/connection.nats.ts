/**
 * The door to NATS: one connection with its JetStream client and manager, checked at opening.
 *
 * Boundary: knows nothing of workflows. Errors at opening are typed and say what to do; after opening the connection
 * repairs itself for ever (services) or fails fast (one-shot commands).
 */

import { readFile } from 'node:fs/promises';
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, credsAuthenticator, errors, type NatsConnection } from 'nats';
import { type GroupCommit, groupCommitOf, MillraceError, messageOf } from '../kernel/index.ts';
import { gatherWrites } from './gather.nats.ts';
import type { Payload } from './publishing.ts';

/** The oldest server whose schedules, atomic batches and recovery are known to be right. */
export const OLDEST_NATS = '2.14.6';

/** How {@link connectNats} connects. */
export interface NatsOptions {
  /** One or more server URLs, comma-separated. */
  readonly url: string;
  /** What the server's monitoring shows. */
  readonly name: string;
  readonly token?: string | undefined;
  /** Path of a `.creds` file. */
  readonly credsFile?: string | undefined;
  /** Keep trying while no server answers at first, instead of failing; for services that start before their server. */
  readonly waitOnFirstConnect?: boolean;
  /** Milliseconds for the handshake and for each JetStream API request; 5,000 by default. */
  readonly timeoutMs?: number;
  /** Whether messages that wait share a batch, on everything opened over this door; `MILLRACE_GROUP_COMMIT` by default. */
  readonly groupCommit?: GroupCommit | undefined;
}

/** An open connection to NATS with its JetStream client and manager. */
export interface NatsDoor {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly url: string;
  readonly groupCommit?: GroupCommit | undefined;
  /** Sends what is buffered and closes; does nothing the second time. */
  close(): Promise<void>;
}

/**
 * Connects and checks the server.
 * @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS_TOO_OLD, MR_NATS (no JetStream), MR_CONFIG (creds file,
 *   group commit)
 */
export async function connectNats(options: NatsOptions): Promise<NatsDoor> {
  const timeout = options.timeoutMs ?? 5_000;
  const groupCommit = options.groupCommit ?? groupCommitOf(process.env);
  const nc = await dial(options, timeout);
  try {
    checkServer(nc, options.url);
    const js = jetstream(nc, { timeout });
    const jsm = await jetstreamManager(nc, { timeout, checkAPI: false });
    return { nc, js, jsm, url: options.url, groupCommit, close: () => close(nc) };
  } catch (error) {
    await nc.close();
    throw error;
  }
}

async function dial(options: NatsOptions, timeout: number): Promise<NatsConnection> {
  const { url, credsFile } = options;
  const authenticator =
    credsFile === undefined ? {} : { authenticator: credsAuthenticator(await readCreds(credsFile)) };
  try {
    const nc = await connect({
      servers: url.split(',').map((server) => server.trim()),
      name: options.name,
      timeout,
      noAsyncTraces: true,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      reconnectJitter: 100,
      pingInterval: 10_000,
      maxPingOut: 2,
      waitOnFirstConnect: options.waitOnFirstConnect ?? false,
      ...(options.token === undefined ? {} : { token: options.token }),
      ...authenticator,
    });
    gatherWrites(nc);
    return nc;
  } catch (error) {
    throw dialError(url, error);
  }
}

async function readCreds(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new MillraceError('MR_CONFIG', `the credentials file ${path} cannot be read: ${messageOf(cause)}`, {
      hint: 'MILLRACE_NATS_CREDS must name a readable .creds file',
      place: { file: path },
      cause,
    });
  }
}

function dialError(url: string, error: unknown): MillraceError {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (isAuthError(error) || isAuthError(cause)) {
    return new MillraceError('MR_NATS_AUTH', `the NATS server at ${url} refused our credentials`, {
      hint: 'check MILLRACE_NATS_TOKEN or MILLRACE_NATS_CREDS against the server configuration',
      cause: error,
    });
  }
  return new MillraceError('MR_NATS_UNREACHABLE', `no NATS server answers at ${url}: ${messageOf(error)}`, {
    hint: 'start nats-server with JetStream, or point MILLRACE_NATS_URL at one that runs',
    cause: error,
  });
}

function isAuthError(error: unknown): boolean {
  return error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError;
}

function checkServer(nc: NatsConnection, url: string): void {
  const info = nc.info;
  const version = info?.version ?? '0.0.0';
  if (isOlder(version, OLDEST_NATS)) {
    throw new MillraceError('MR_NATS_TOO_OLD', `nats-server ${version} at ${url} is older than ${OLDEST_NATS}`, {
      hint:
        `Millrace needs message schedules, atomic batches and their fixes, which came with nats-server ${OLDEST_NATS}; ` +
        'older servers would lose timers; upgrade the server',
    });
  }
  if (info?.jetstream !== true) {
    throw new MillraceError('MR_NATS', `the NATS server at ${url} runs without JetStream`, {
      hint: 'start it with `-js` or a `jetstream {}` block in its configuration',
      next: 'terminal',
    });
  }
}

/** Compares the numbers of two versions; a pre-release counts as its release. */
export function isOlder(version: string, than: string): boolean {
  const a = numbers(version);
  const b = numbers(than);
  for (let i = 0; i < 3; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

function numbers(version: string): number[] {
  return (version.split('-')[0] ?? '').split('.').map((part) => Number.parseInt(part, 10) || 0);
}

async function close(nc: NatsConnection): Promise<void> {
  if (nc.isClosed()) return;
  try {
    // While the server is away a flush would wait for it for ever.
    await Promise.race([nc.flush(), new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
  } catch {
    // The connection is going away; what could not be flushed is sent again by whoever did not get its ack.
  }
  await nc.close();
}

/** Room that subject and headers take beside the payload; the server counts headers too. */
const HEADER_ROOM = 4_096;

/** Largest payload this server takes from us, in bytes. */
export function maxPayload(nc: NatsConnection): number {
  return (nc.info?.max_payload ?? 1_048_576) - HEADER_ROOM;
}

/**
 * @param what names the message for the error, e.g. `input of step "load"`; `of` follows it
 * @throws MillraceError MR_PAYLOAD_TOO_LARGE when the server would refuse it
 */
export function assertPayload(nc: NatsConnection, data: Payload, what: string, of?: string): void {
  const limit = maxPayload(nc);
  // No unit of a string takes more than three bytes: most need not be counted.
  if (3 * data.length <= limit) return;
  const bytes = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
  if (bytes <= limit) return;
  const name = of === undefined ? what : `${what} ${of}`;
  throw new MillraceError('MR_PAYLOAD_TOO_LARGE', `${name} has ${bytes} bytes, the server takes ${limit}`, {
    hint: 'keep large data in an object store or a file and pass a reference, or raise max_payload on the server',
  });
}
