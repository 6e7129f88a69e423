/**
 * A receiver for traces that takes what comes and keeps nothing: the processes under test batch, print and send their spans as they
 * do to Jaeger, and no memory of a collector's grows beside them.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Sink {
  /** For MILLRACE_OTLP_URL. */
  readonly url: string;
  readonly requests: number;
  readonly bytes: number;
  close(): Promise<void>;
}

export async function openSink(): Promise<Sink> {
  let [requests, bytes] = [0, 0];
  const server = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => void (bytes += chunk.length));
    request.on('end', () => {
      requests++;
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    get requests() {
      return requests;
    },
    get bytes() {
      return bytes;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
