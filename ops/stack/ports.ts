import { createServer } from 'node:net';
import { OpsError } from '../lib/errors.ts';

/**
 * Below the ranges from which Linux and macOS take ports for outgoing connections: a server that is killed and comes
 * back must not find that a passing client has its port.
 */
const FIRST = 20_000;
const LAST = 32_000;

const handedOut = new Set<number>();

export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (handedOut.has(port) || !(await isPortFree(port)) || !(await isPortFree(port, '0.0.0.0'))) continue;
    handedOut.add(port);
    return port;
  }
  throw new OpsError('MR_PORT_IN_USE', `No free port found between ${FIRST} and ${LAST}. End what holds them.`);
}

export function portInUse(name: string, port: number, variable: string | undefined, cause?: unknown): OpsError {
  const other = variable === undefined ? 'choose another port' : `set ${variable} to another port`;
  const sentence = `${name} cannot listen on port ${port}: another process does. End that process, or ${other}.`;
  return new OpsError('MR_PORT_IN_USE', sentence, { cause });
}
