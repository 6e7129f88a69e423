/** Looks at the parts that speak HTTP: Prefect, the trace collector, Jaeger. */
import type { PrefectApi } from '../../bridge/index.ts';
import type { Definition } from '../../engine/index.ts';
import { messageOf } from '../../kernel/index.ts';
import type { PrefectFacts } from './facts.ts';
import { type Finding, fail, ok } from './finding.ts';

const HTTP_MS = 3_000;

/** @throws MillraceError MR_PREFECT_UNREACHABLE, MR_PREFECT */
export async function lookAtPrefect(
  prefect: PrefectApi,
  url: string,
  definitions: readonly Definition[],
): Promise<PrefectFacts> {
  const version = await prefect.version();
  const healthy = await prefect.health();
  const needed = definitions.flatMap(({ name, steps }) =>
    steps.flatMap(({ name: step, action }) =>
      action.kind === 'prefect' ? [{ workflow: name, step, deployment: action.deployment }] : [],
    ),
  );
  const missing: PrefectFacts['missing'][number][] = [];
  for (const one of needed) {
    if ((await prefect.deploymentByName(one.deployment)) === undefined) missing.push(one);
  }
  return { url, version, healthy, missing, deployments: new Set(needed.map(({ deployment }) => deployment)).size };
}

async function answers(url: string, init: RequestInit): Promise<string | undefined> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(HTTP_MS) });
    await response.arrayBuffer();
    return response.ok ? undefined : `answers ${response.status}`;
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return `does not answer (${messageOf(cause)})`;
  }
}

/** The trace collector: an empty export is valid and stores nothing. */
export async function lookAtOtlp(otlpUrl: string | undefined): Promise<Finding> {
  if (otlpUrl === undefined) return ok('telemetry', 'no trace collector is configured: no traces');
  const headers = { 'content-type': 'application/json' };
  const wrong = await answers(`${otlpUrl}/v1/traces`, { method: 'POST', headers, body: '{"resourceSpans":[]}' });
  if (wrong === undefined) return ok('telemetry', `the trace collector at ${otlpUrl} takes spans`);
  const means = 'spans are dropped; runs are not affected';
  return fail(
    'telemetry',
    `the trace collector at ${otlpUrl} ${wrong}`,
    means,
    'start it, or correct MILLRACE_OTLP_URL',
  );
}

/** Jaeger's query address, which only links need. */
export async function lookAtJaeger(jaegerUrl: string | undefined): Promise<Finding[]> {
  if (jaegerUrl === undefined) return [];
  const wrong = await answers(`${jaegerUrl}/api/services`, {});
  if (wrong === undefined) return [ok('telemetry', `Jaeger answers at ${jaegerUrl}`)];
  const means = 'links to traces lead nowhere';
  return [fail('telemetry', `Jaeger at ${jaegerUrl} ${wrong}`, means, 'start it, or correct MILLRACE_JAEGER_URL')];
}
