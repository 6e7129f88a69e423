import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { requirePart } from '../provision/index.ts';
import { freePort } from './ports.ts';
import { httpOk } from './ready.ts';
import type { ServerSpec } from './server.ts';

export interface JaegerOptions {
  readonly dir: string;
  readonly queryPort?: number;
  readonly otlpPort?: number;
  readonly detached?: boolean;
}

interface JaegerPorts {
  readonly query: number;
  readonly otlp: number;
  readonly admin: number;
}

export async function jaegerSpec(options: JaegerOptions): Promise<ServerSpec> {
  const { command } = await requirePart('jaeger');
  const ports: JaegerPorts = {
    query: options.queryPort ?? (await freePort()),
    otlp: options.otlpPort ?? (await freePort()),
    admin: await freePort(),
  };
  const url = `http://127.0.0.1:${ports.query}`;
  const otlp = `http://127.0.0.1:${ports.otlp}`;
  mkdirSync(options.dir, { recursive: true });
  const isV2 = basename(command) === 'jaeger';
  return {
    name: 'jaeger',
    command,
    args: isV2 ? v2Args(options.dir, ports) : v1Args(ports),
    // Jaeger traces itself too, and would send that to the default port, where some other collector may listen.
    env: { OTEL_TRACES_SAMPLER: 'always_off', ...(isV2 ? {} : { SPAN_STORAGE_TYPE: 'memory' }) },
    dir: options.dir,
    detached: options.detached ?? false,
    url,
    ports: { query: ports.query, otlp: ports.otlp },
    portVariables: { query: 'MILLRACE_JAEGER_PORT', otlp: 'MILLRACE_OTLP_PORT' },
    clientEnv: { MILLRACE_JAEGER_URL: url, MILLRACE_OTLP_URL: otlp },
    ready: async () => {
      if (!(await httpOk(`${url}/api/services`))) return false;
      return acceptsSpans(otlp);
    },
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 10_000,
  };
}

/** An empty export is valid and stores nothing. */
async function acceptsSpans(otlp: string): Promise<boolean> {
  try {
    const response = await fetch(`${otlp}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"resourceSpans":[]}',
      signal: AbortSignal.timeout(2_000),
    });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** Every listener it has by default is named here: one left out would stop a second Jaeger from starting. */
function v1Args(ports: JaegerPorts): string[] {
  const any = '127.0.0.1:0';
  return [
    `--query.http-server.host-port=127.0.0.1:${ports.query}`,
    `--query.grpc-server.host-port=${any}`,
    `--collector.otlp.http.host-port=127.0.0.1:${ports.otlp}`,
    `--collector.otlp.grpc.host-port=${any}`,
    `--collector.http-server.host-port=${any}`,
    `--collector.grpc-server.host-port=${any}`,
    `--admin.http.host-port=127.0.0.1:${ports.admin}`,
    '--memory.max-traces=50000',
    '--log-level=warn',
  ];
}

/** Version 2 takes a file and starts only what the file names. */
function v2Args(dir: string, ports: JaegerPorts): string[] {
  const file = join(dir, 'jaeger.yaml');
  writeFileSync(
    file,
    `service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: { receivers: [otlp], exporters: [jaeger_storage_exporter] }
  telemetry:
    metrics: { level: none }
    logs: { level: warn }
extensions:
  jaeger_storage:
    backends: { memory: { memory: { max_traces: 50000 } } }
  jaeger_query:
    storage: { traces: memory }
    http: { endpoint: "127.0.0.1:${ports.query}" }
    grpc: { endpoint: "127.0.0.1:${ports.admin}" }
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:${ports.otlp}" } } }
exporters:
  jaeger_storage_exporter: { trace_storage: memory }
`,
  );
  return ['--config', file];
}
