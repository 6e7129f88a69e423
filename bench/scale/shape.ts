/**
 * The shapes a run can have: steps declared in YAML and done by a worker, or a durable function. Each benchmark asks a shape for its
 * scenario's workflow; the same processes, loads and verdicts serve both.
 */
import { type Assets, type Definition, type InputBody, workflowAssets } from '../../src/engine/index.ts';
import { definitionOf, functionAssets } from '../../src/functions/index.ts';
import { CONTROLLER_CONSUMER, type Json, logSubject, runEventSubject, workflowStream } from '../../src/kernel/index.ts';
import { sealDefinition } from '../../src/manifests/index.ts';

export const SHAPES = ['declared', 'functions'] as const;
export type ShapeName = (typeof SHAPES)[number];

/**
 * `chain` does three quick steps; `gate` does a step, sleeps, waits for the signal `go`, does another step; `nap` sleeps ten years
 * when its payload says `nap`, else does one step.
 */
export type Scenario = 'chain' | 'gate' | 'nap';

export interface Shape {
  readonly name: ShapeName;
  definition(scenario: Scenario): Definition;
  assets(definition: Definition): Assets;
  /** The program of the processes that do the steps, from the repository's root. */
  readonly worker: string;
  /** Who decides on runs: controllers, with workers beside them, or the workers themselves. */
  readonly driver: 'controller' | 'worker';
  /** Of the messages that tell of ended runs, with `*` in the run's place. */
  endSubject(workflow: string): string;
  /** Whether such a message tells of an end. */
  isEnd(data: Uint8Array): boolean;
}

export const QUEUE = 'scale';
export const HANDLER = 'scale.step';
export const TEN_YEARS_MS = 3_650 * 86_400_000;
export const NAP_MS = 200;
const RETRY = { initialMs: 200, factor: 2, maxMs: 5_000, jitter: 0.2, maxAttempts: 3, maxLost: 10 } as const;

export const nameOf = (scenario: Scenario): string => `scale-${scenario}`;

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

const decoder = new TextDecoder();

const SHAPE: Readonly<Record<ShapeName, Shape>> = {
  declared: {
    name: 'declared',
    definition: (scenario) =>
      sealDefinition({ name: nameOf(scenario), deadLetter: false, triggers: [], steps: [...DECLARED[scenario]] }),
    assets: (definition) => workflowAssets(definition),
    worker: 'bench/scale/worker.ts',
    driver: 'controller',
    endSubject: (workflow) => runEventSubject(workflow, 'x', 'completed').replace('.x.', '.*.'),
    isEnd: () => true,
  },
  functions: {
    name: 'functions',
    definition: (scenario) => sealDefinition(definitionOf(nameOf(scenario))),
    assets: (definition) => functionAssets(definition),
    worker: 'bench/scale/functions.ts',
    driver: 'worker',
    endSubject: (workflow) => logsOf(workflow),
    isEnd: (data) => decoder.decode(data).includes('"RunCompleted"'),
  },
};

export const shapeOf = (name: ShapeName): Shape => SHAPE[name];

/** The start of a run. */
export const startOf = (definition: Definition, payload: Json): InputBody => ({
  v: 1,
  kind: 'start',
  digest: definition.digest,
  payload,
});

/** All log entries of a workflow on their way to its stream. */
export const logsOf = (workflow: string): string => logSubject(workflow, 'x').replace(/\.x$/, '.*');

/** The consumer that brings the workflow's inputs to whoever decides on its runs. */
export const inputsOf = ({ name }: Definition): { readonly stream: string; readonly consumer: string } => ({
  stream: workflowStream(name),
  consumer: CONTROLLER_CONSUMER,
});
