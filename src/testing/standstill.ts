/** Why a run that is waited for does not move, as an error that says what to do. Pure. */
import type { RunState, StepState, TaskMessage } from '../engine/index.ts';
import { MillraceError } from '../kernel/index.ts';

/** What an environment knows besides the run's state. */
export interface Surroundings {
  /** Tasks that nobody takes. */
  readonly orphans: readonly TaskMessage[];
  /** Deployments that nobody mocks. */
  readonly flows: readonly string[];
  /** Steps whose code runs. */
  readonly running: readonly string[];
  readonly warnings: readonly string[];
}

function reasonOf({ name, status, error }: StepState): string | undefined {
  if (status === 'waiting') return `step "${name}" waits`;
  if (status === 'paused') return `step "${name}" is paused: ${error?.message ?? 'its attempts are used up'}`;
  if (status === 'scheduled' || status === 'running') return `step "${name}" is ${status}`;
  return undefined;
}

function hintOf({ orphans, flows, running }: Surroundings, steps: readonly StepState[]): string {
  const [orphan] = orphans;
  if (orphan !== undefined) {
    return `give testEnvironment the step "${orphan.handler}", or mock it: env.mock('${orphan.handler}', (input) => …)`;
  }
  const [flow] = flows;
  if (flow !== undefined) return `mock the flow: env.mock('${flow}', (parameters) => …)`;
  if (running.length > 0) return `the code of ${running.join(', ')} does not end: mock what it waits for`;
  const paused = steps.find(({ status }) => status === 'paused');
  if (paused !== undefined) return `mend what failed, then run.resume('${paused.name}')`;
  return 'send what it waits for before you ask for its result, for example run.signal(name, payload)';
}

/** The run has not ended, and nothing is due that could move it. */
export function whyItStands(state: RunState, around: Surroundings): MillraceError {
  const steps = Object.values(state.steps);
  const reasons = steps.flatMap((step) => reasonOf(step) ?? []);
  const [warning] = around.warnings.slice(-1);
  const what = [state.status === 'new' ? 'it was never started' : `it is ${state.status}`, ...reasons];
  if (warning !== undefined) what.push(`last warning: ${warning}`);
  return new MillraceError(
    'MR_RUN_STATE',
    `run ${state.runId} of ${state.workflow} does not move: ${what.join('; ')}`,
    {
      hint: hintOf(around, steps),
    },
  );
}
