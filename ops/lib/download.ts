import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf, OpsError } from './errors.ts';

const CONNECT_MS = 5_000;
const HEADERS_MS = 30_000;

/**
 * fetch() has no connect timeout of its own worth the name, and an offline machine should fall through to the next way
 * within seconds: so knock first.
 */
export function reachable(url: URL, timeoutMs = CONNECT_MS): Promise<string | undefined> {
  const port = url.port !== '' ? Number(url.port) : url.protocol === 'https:' ? 443 : 80;
  return new Promise((resolve) => {
    const socket = connect({ host: url.hostname, port });
    const timer = setTimeout(() => finish(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    const finish = (reason: string | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reason);
    };
    socket.once('connect', () => finish(undefined));
    socket.once('error', (error) => finish(messageOf(error)));
  });
}

async function open(url: string): Promise<Response> {
  const reason = await reachable(new URL(url));
  if (reason !== undefined) {
    throw new OpsError('MR_DOWNLOAD', `${new URL(url).hostname} cannot be reached (${reason})`);
  }
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), HEADERS_MS);
  try {
    const response = await fetch(url, { redirect: 'follow', signal: controller.signal });
    if (!response.ok) throw new OpsError('MR_DOWNLOAD', `${url} answered ${response.status}`);
    return response;
  } catch (error) {
    if (error instanceof OpsError) throw error;
    throw new OpsError('MR_DOWNLOAD', `${url} cannot be fetched (${messageOf(error)})`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

export async function downloadText(url: string): Promise<string> {
  return (await open(url)).text();
}

export async function downloadFile(url: string, to: string): Promise<void> {
  const response = await open(url);
  if (response.body === null) throw new OpsError('MR_DOWNLOAD', `${url} answered with nothing`);
  try {
    await pipeline(Readable.from(response.body), createWriteStream(to));
  } catch (error) {
    rmSync(to, { force: true });
    throw new OpsError('MR_DOWNLOAD', `${url} broke off (${messageOf(error)})`, { cause: error });
  }
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** The digest of `file` in the output format of sha256sum: `<hex>  name` or `<hex> *name`. */
export function findChecksum(sums: string, file: string): string | undefined {
  for (const line of sums.split('\n')) {
    const [digest, name] = line.trim().split(/\s+\*?/);
    if (name === file && digest !== undefined && /^[0-9a-f]{64}$/i.test(digest)) return digest.toLowerCase();
  }
  return undefined;
}

/** Downloads `base/file` and keeps it only when `base/sums` vouches for it. */
export async function downloadVerified(base: string, file: string, sums: string, to: string): Promise<void> {
  const expected = findChecksum(await downloadText(`${base}/${sums}`), file);
  if (expected === undefined) {
    throw new OpsError('MR_CHECKSUM', `${sums} of the release names no checksum for ${file}: not installed`);
  }
  await downloadFile(`${base}/${file}`, to);
  const actual = await sha256Of(to);
  if (actual === expected) return;
  rmSync(to, { force: true });
  throw new OpsError('MR_CHECKSUM', `${file} has checksum ${actual}, its release says ${expected}: not installed`);
}
