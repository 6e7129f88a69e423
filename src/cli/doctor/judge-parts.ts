/** What the facts about Redis, Prefect and the telemetry receivers mean. Pure. */
import type { PrefectFacts, RedisFacts } from './facts.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const OLDEST_REDIS = [6, 2];

function olderThan(version: string, [major = 0, minor = 0]: readonly number[]): boolean {
  const [a = 0, b = 0] = version.split('.').map(Number);
  return a < major || (a === major && b < minor);
}

export function judgeRedis(facts: RedisFacts): Finding[] {
  const found = `Redis ${facts.version}, maxmemory-policy ${facts.maxmemoryPolicy}`;
  if (olderThan(facts.version, OLDEST_REDIS)) {
    const means = 'the reconcile queue needs commands that came with 6.2';
    return [fail('redis', found, means, 'upgrade Redis to 6.2 or newer')];
  }
  if (facts.maxmemoryPolicy !== 'noeviction') {
    const means = 'under pressure Redis drops keys of the queue; the sweep repairs that, later than it could';
    return [warn('redis', found, means, 'set `maxmemory-policy noeviction`')];
  }
  return [ok('redis', found)];
}

export const noRedis = (): Finding =>
  ok('redis', 'not configured: the reconcile queue lives in memory', 'right for one controller only');

export function judgePrefect(facts: PrefectFacts): Finding[] {
  const findings: Finding[] = [];
  const found = `Prefect ${facts.version} at ${facts.url}`;
  if (!facts.healthy) {
    findings.push(
      fail('prefect', `${found} says that it is not healthy`, 'Prefect steps wait', "look at Prefect's log"),
    );
  } else if (!facts.version.startsWith('3.')) {
    const means = 'Millrace is tested with Prefect 3';
    findings.push(warn('prefect', found, means, 'use Prefect 3.8 or a later 3.x'));
  } else findings.push(ok('prefect', found));
  for (const { workflow, step, deployment } of facts.missing) {
    findings.push(
      fail(
        'prefect',
        `there is no deployment ${deployment}`,
        `step ${step} of workflow ${workflow} fails with MR_DEPLOYMENT_MISSING`,
        'deploy the flow, or start the flow host that serves it',
      ),
    );
  }
  if (facts.missing.length === 0 && facts.deployments > 0) {
    findings.push(ok('prefect', `all ${facts.deployments} deployments of applied workflows exist`));
  }
  return findings;
}

/** @param needed applied workflows with Prefect steps */
export function noPrefect(needed: readonly string[]): Finding {
  if (needed.length === 0) return ok('prefect', 'not configured, and no applied workflow needs it');
  return fail(
    'prefect',
    `not configured, but needed by ${needed.join(', ')}`,
    'their Prefect steps never start',
    'set MILLRACE_PREFECT_URL for the controllers (and here)',
  );
}
