/** Restate's HTTP ingress over connections that stay open. */
import { Agent, request } from 'node:http';
import { connect } from 'node:http2';
import { setTimeout as pause } from 'node:timers/promises';

export interface Ingress {
  /** Calls a handler and gives its result as JSON text. */
  call(path: string, body: unknown): Promise<string>;
  /** Calls until it works, for half a minute at most. */
  ready(path: string, body: unknown): Promise<void>;
  close(): void;
}

function openHttp1(port: number): Pick<Ingress, 'call' | 'close'> {
  const agent = new Agent({ keepAlive: true, maxSockets: 2048, maxFreeSockets: 2048 });
  return {
    call: (path, body) =>
      new Promise((resolve, reject) => {
        const bytes = Buffer.from(JSON.stringify(body));
        const headers = { 'content-type': 'application/json', 'content-length': bytes.length };
        const outgoing = request({ agent, host: '127.0.0.1', port, path, method: 'POST', headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const status = response.statusCode ?? 0;
            if (status < 300) resolve(text);
            else reject(new Error(`${path} gave ${status}: ${text}`));
          });
        });
        outgoing.on('error', reject);
        outgoing.end(bytes);
      }),
    close: () => agent.destroy(),
  };
}

function openHttp2(port: number): Pick<Ingress, 'call' | 'close'> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  return {
    call: (path, body) =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/json' });
        let status = 0;
        const chunks: Buffer[] = [];
        stream.on('response', (headers) => {
          status = headers[':status'] ?? 0;
        });
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('error', reject);
        stream.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (status > 0 && status < 300) resolve(text);
          else reject(new Error(`${path} gave ${status}: ${text}`));
        });
        stream.end(JSON.stringify(body));
      }),
    close: () => session.destroy(),
  };
}

const READY_MS = 30_000;

export function openIngress(port: number): Ingress {
  const { call, close } = process.env['RS_H2'] === undefined ? openHttp1(port) : openHttp2(port);
  return {
    call,
    close,
    ready: async (path, body) => {
      const until = Date.now() + READY_MS;
      for (;;) {
        try {
          await call(path, body);
          return;
        } catch (error) {
          if (Date.now() > until) throw error;
          await pause(100);
        }
      }
    },
  };
}
