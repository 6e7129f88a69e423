import { connect } from 'node:net';

/** How long one probe may take; the whole wait is the caller's business. */
const PROBE_MS = 2_000;

export async function httpOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_MS) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** Connects, says `send` if given, and resolves with the first line that comes back; undefined when none does. */
export function firstLine(port: number, send?: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    const finish = (line: string | undefined): void => {
      socket.destroy();
      resolve(line);
    };
    socket.setTimeout(PROBE_MS, () => finish(undefined));
    socket.once('error', () => finish(undefined));
    socket.once('close', () => resolve(undefined));
    if (send !== undefined) socket.once('connect', () => socket.write(send));
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8');
      const end = text.indexOf('\r\n');
      if (end >= 0) finish(text.slice(0, end));
    });
  });
}
