/** The small HTTP server every process carries: /healthz (alive), /readyz (can work), /metrics (Prometheus text). */

import type { AddressInfo } from 'node:net';
import { type ServerType, serve } from '@hono/node-server';
import { Hono } from 'hono';
import { MillraceError, messageOf } from '../kernel/index.ts';

/** One thing a process depends on, as it is now. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** A sentence for people. */
  readonly detail: string;
}

export interface HttpOptions {
  /** 0 takes a free port. */
  readonly port: number;
  /** 127.0.0.1 by default. */
  readonly host?: string;
  /** What must be well for the process to work; a rejection counts as a failed check. */
  readonly health: () => Promise<readonly Check[]>;
  /** Metrics in Prometheus' text format. */
  readonly metrics: () => Promise<string>;
}

export interface HttpServer {
  readonly port: number;
  readonly url: string;
  close(): Promise<void>;
}

/** @throws MillraceError MR_PORT_IN_USE */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { port, host = '127.0.0.1' } = options;
  const { server, address } = await listen(routes(options), port, host);
  return {
    port: address.port,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    close: () => closeServer(server),
  };
}

function routes({ health, metrics }: HttpOptions): Hono {
  const app = new Hono();
  app.get('/healthz', (c) => c.json({ status: 'alive' }));
  app.get('/readyz', async (c) => {
    const checks = await health().catch((error: unknown): readonly Check[] => [
      { name: 'health', ok: false, detail: messageOf(error) },
    ]);
    const ready = checks.every((check) => check.ok);
    return c.json({ status: ready ? 'ready' : 'not ready', checks }, ready ? 200 : 503);
  });
  app.get('/metrics', async (c) =>
    c.body(await metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }),
  );
  return app;
}

function listen(app: Hono, port: number, host: string): Promise<{ server: ServerType; address: AddressInfo }> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, port, hostname: host }, (address) => resolve({ server, address }));
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, port, host)));
  });
}

function listenError(error: NodeJS.ErrnoException, port: number, host: string): Error {
  if (error.code !== 'EADDRINUSE') return error;
  return new MillraceError('MR_PORT_IN_USE', `port ${port} on ${host} is in use`, {
    hint: 'stop what listens there, or set MILLRACE_HTTP_PORT to another port (0 takes a free one)',
    cause: error,
  });
}

function closeServer(server: ServerType): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    // Scrapers keep connections open; there is nothing to finish on them.
    if ('closeAllConnections' in server) server.closeAllConnections();
  });
}
