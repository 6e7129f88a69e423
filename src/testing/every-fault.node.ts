/**
 * Every step of a workflow failed, repeated and crashed at every point, by machine: nobody writes those tests by hand.
 *
 * Job: play a scenario once in peace, note every point that a fault could strike at, then play it again for each point and each
 * fault. Whatever strikes, the scenario must give the same, and every effect must have been asked for at least once, under the
 * same idempotency key. Boundary: the test environment.
 */
import { canonicalJson, type Json, messageOf } from '../kernel/index.ts';
import { type TestEnvironment, type TestOptions, testEnvironment } from './environment.node.ts';
import type { Injection, Point, PointName } from './faults.ts';

/** A story of one or more runs that ends the same whatever strikes. */
export interface Scenario {
  /** What the environment is made of, anew for each play. */
  readonly environment: () => TestOptions;
  /** Plays it; gives what is compared, as JSON: results, not times. */
  readonly play: (env: TestEnvironment) => Promise<Json>;
  /** Steps whose first attempt must not be made to fail, since they are tried only once. */
  readonly once?: readonly string[];
}

/** What was found. */
export interface FaultReport {
  /** How many times the scenario was played with a fault. */
  readonly plays: number;
  /** A sentence for each fault that changed something; empty when none did. */
  readonly findings: readonly string[];
}

interface Play {
  readonly result: string;
  /** Idempotency keys of the attempts that were begun. */
  readonly keys: ReadonlySet<string>;
  readonly points: readonly Point[];
  readonly deaths: number;
}

/** What can be done at a point; `fail` and `crash` of steps go by their names. */
const FAULTS: Readonly<Partial<Record<PointName, readonly Injection['do'][]>>> = {
  'append.before': ['crash', 'lost', 'conflict'],
  'append.after': ['crash', 'lost'],
  'send.before': ['crash', 'lost'],
  'send.after': ['crash', 'lost'],
  'ack.before': ['crash', 'lost'],
  'ack.after': ['crash'],
  'read.before': ['crash', 'lost'],
  'command.before': ['crash', 'lost'],
  'command.after': ['crash', 'lost'],
  'step.before': ['crash', 'fail'],
  'step.after': ['crash'],
};

async function playOnce(scenario: Scenario, injection?: Injection): Promise<Play> {
  const env = await testEnvironment(scenario.environment());
  if (injection !== undefined) env.inject(injection);
  const result = canonicalJson(await scenario.play(env));
  const { points, deaths } = env;
  const keys = points.flatMap(({ at, key }) => (at === 'step.before' && key !== undefined ? [key] : []));
  return { result, keys: new Set(keys), points, deaths };
}

/** Every fault at every point of a play: the n-th point of its kind is met again, since up to there nothing is different. */
function injectionsOf({ points }: Play, once: readonly string[]): readonly Injection[] {
  const seen = new Map<PointName, number>();
  const found: Injection[] = [];
  for (const { at, name } of points) {
    const skip = seen.get(at) ?? 0;
    seen.set(at, skip + 1);
    for (const what of FAULTS[at] ?? []) {
      if (what === 'fail' && name !== undefined && once.includes(name)) continue;
      found.push({ at, do: what, skip });
    }
  }
  return found;
}

function differenceOf(peace: Play, play: Play, injection: Injection): string | undefined {
  if (play.result !== peace.result) return `gave ${play.result} instead of ${peace.result}`;
  const missing = [...peace.keys].filter((key) => !play.keys.has(key));
  if (missing.length > 0) return `never asked for ${missing.join(', ')}`;
  const strange = [...play.keys].filter((key) => !peace.keys.has(key));
  if (strange.length > 0) return `asked for ${strange.join(', ')}, which is no key of the play in peace`;
  return injection.do === 'crash' && play.deaths === 0 ? 'no process died' : undefined;
}

/**
 * Plays a scenario with every fault at every point.
 * @throws whatever the scenario throws in peace
 */
export async function everyFault(scenario: Scenario): Promise<FaultReport> {
  const peace = await playOnce(scenario);
  const injections = injectionsOf(peace, scenario.once ?? []);
  const findings: string[] = [];
  for (const injection of injections) {
    const { at, do: what, skip = 0 } = injection;
    const where = `${what} at ${at} number ${skip + 1}`;
    try {
      const difference = differenceOf(peace, await playOnce(scenario, injection), injection);
      if (difference !== undefined) findings.push(`${where}: ${difference}`);
    } catch (error) {
      findings.push(`${where}: ${messageOf(error)}`);
    }
  }
  return { plays: injections.length, findings };
}
