/** A web server that has the files it is given, for tests of what is downloaded. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FileServer {
  /** Address without a slash at the end. */
  readonly base: string;
  /** Content by path, without the first slash; what is not here is 404. */
  readonly files: Map<string, string | Buffer>;
  close(): Promise<void>;
}

export async function startFileServer(): Promise<FileServer> {
  const files = new Map<string, string | Buffer>();
  const server = createServer((request, response) => {
    const body = files.get((request.url ?? '').slice(1));
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
