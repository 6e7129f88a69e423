/**
 * The shapes a run can have: steps declared in YAML and done by a worker, or a durable function. Each scenario asks a shape for its
 * workflow; the same processes, loads and verdicts serve both.
 */
import type { Definition, InputBody } from '../../src/engine/index.ts';
import type { Json } from '../../src/kernel/index.ts';
import { logSubject, runEventSubject } from '../../src/kernel/index.ts';
import { sealDefinition } from '../../src/manifests/index.ts';

export type ShapeName = 'declared';
export const SHAPES: readonly ShapeName[] = ['declared'];

/**
 * `chain` does three quick steps; `gate` does a step, sleeps, waits for the signal `go`, does another step; `nap` sleeps ten years
 * when its payload says `nap`, else does one step.
 */
export type Scenario = 'chain' | 'gate' | 'nap';

export interface Shape {
  readonly name: ShapeName;
  definition(scenario: Scenario): Definition;
  /** The worker program, from the repository's root. */
  readonly worker: string;
  /** Whether runs are driven by controllers; else by the workers that have the code. */
  readonly controllers: boolean;
  /** Of the messages that tell of ended runs; the token after the workflow, or the last, is the run's. */
  readonly endSubject: (workflow: string) => string;
  /** Whether such a message means the end of its run. */
  readonly isEnd: (data: Uint8Array) => boolean;
}

export const QUEUE = 'scale';
export const HANDLER = 'scale.step';
const RETRY = { initialMs: 200, factor: 2, maxMs: 5_000, jitter: 0.2, maxAttempts: 3, maxLost: 10 } as const;
const TEN_YEARS_MS = 3_650 * 86_400_000;
const NAP_MS = 200;

type Step = Definition['steps'][number];

function step(name: string, needs: readonly string[], more: Partial<Step> = {}): Step {
  return { name, needs, action: { kind: 'worker', handler: HANDLER, queue: QUEUE }, retry: RETRY, ...more };
}

const DECLARED: Readonly<Record<Scenario, readonly Step[]>> = {
  chain: [step('s1', []), step('s2', ['s1']), step('s3', ['s2'])],
  gate: [
    step('before', []),
    step('nap', ['before'], { action: { kind: 'sleep', ms: NAP_MS } }),
    step('gate', ['nap'], { action: { kind: 'signal', name: 'go', onTimeout: 'fail' } }),
    step('after', ['gate']),
  ],
  nap: [
    step('nap', [], { when: 'payload.nap', action: { kind: 'sleep', ms: TEN_YEARS_MS } }),
    step('work', [], { when: '!payload.nap' }),
  ],
};

const declared: Shape = {
  name: 'declared',
  definition: (scenario) =>
    sealDefinition({ name: `scale-${scenario}`, deadLetter: false, triggers: [], steps: [...DECLARED[scenario]] }),
  worker: 'bench/scale/worker.ts',
  controllers: true,
  endSubject: (workflow) => runEventSubject(workflow, 'x', 'completed').replace('.x.', '.*.'),
  isEnd: () => true,
};

export function shapeOf(name: ShapeName): Shape {
  switch (name) {
    case 'declared':
      return declared;
  }
}

/** The start of a run. */
export const startOf = (definition: Definition, payload: Json): InputBody => ({
  v: 1,
  kind: 'start',
  digest: definition.digest,
  payload,
});

/** All log entries of a workflow on their way to its stream. */
export const logsOf = (workflow: string): string => logSubject(workflow, 'x').replace(/\.x$/, '.*');
