/** Histories of workflows and inputs made by chance: what the run waits for, and what is late, double, early or strange. */
import fc from 'fast-check';
import {
  type Input,
  type InputBody,
  itemsOf,
  type RunEnding,
  type RunState,
  type StepState,
  type Transition,
} from '../../src/engine/index.ts';
import { anyDefinition } from './definitions.ts';
import {
  began,
  cancelled,
  cancelledWithin,
  failed,
  failure,
  fired,
  flow,
  flowState,
  heartbeat,
  killed,
  resumed,
  retried,
  Story,
  signalled,
  started,
  succeeded,
} from './spec.ts';

const FLOW_STATES = ['PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED', 'PAUSED'] as const;

const FAILURES = [{ retryAfterMs: 40_000 }, { code: 'HOPELESS' }, { code: 'MR_CANCELLED', retryable: false }] as const;

/** What may come next: mostly what the run waits for, then what is late, double, early or strange. */
function candidates(story: Story, n: number): InputBody[] {
  const { state } = story;
  const parent = { workflow: 'up', runId: 'p', step: 'x', attempt: 1 };
  const more = n % 3 === 0 ? { parent } : {};
  const payload = { flag: n % 2 === 0, n: n % 4, list: [0, 1, 2, 3, 4].slice(n % 5) };
  if (state.status === 'new') return [started(payload, more), signalled('ok'), succeeded('s0', 1)];
  const attempts = [...Object.values(state.steps), ...itemsOf(state)].flatMap((step) =>
    [step.attempt, step.attempt - 1, step.attempt + 1].map((attempt) => ({ step, attempt: Math.max(1, attempt) })),
  );
  const reports = attempts.flatMap(({ step, attempt }) => reportsOf(step, attempt, n));
  const timers = Object.entries(state.timers).map(([timer, at]) => fired(timer, n % 9 === 0 ? at - 1 : at));
  const again = story.inputs.map(({ body }) => body).slice(-4);
  const people = [signalled('ok', n), signalled('go', n), ...rareWords(n), retried(), resumed()];
  return [...reports, ...timers, ...timers, ...again, ...people];
}

/** What people say seldom, lest every history ends with it. */
function rareWords(n: number): InputBody[] {
  if (n % 5 === 0) return [cancelled(), cancelledWithin(n * 100)];
  if (n % 7 === 0) return [killed(), resumed('s0')];
  return [signalled('ok')];
}

function reportsOf(step: StepState, attempt: number, n: number): InputBody[] {
  const state = flowState(FLOW_STATES[n % FLOW_STATES.length] ?? 'RUNNING', n % 50);
  return [
    began(step.name, attempt),
    succeeded(step.name, attempt, n),
    failed(step.name, attempt, { retryable: n % 7 !== 0, lost: n % 3 === 0 }),
    failed(step.name, attempt, FAILURES[n % FAILURES.length]),
    heartbeat(step.name, attempt, n % 2 === 0 ? n : undefined, n % 4 === 0 ? 'w2' : undefined),
    flow(step.name, attempt, state),
    flow(step.name, attempt, flowState('COMPLETED', n), { result: n }),
    ...childReports(step, attempt, n),
  ];
}

function childReports({ name, child }: StepState, attempt: number, n: number): InputBody[] {
  if (child === undefined) return [];
  const { workflow, runId } = child;
  const endings: RunEnding[] = [
    { status: 'completed', output: n },
    { status: 'failed', error: failure({ retryable: n % 5 !== 0 }) },
    { status: 'cancelled', reason: 'enough' },
  ];
  const ending = endings[n % 2 === 0 ? 0 : n % 3] ?? { status: 'completed', output: null };
  return [{ v: 1, kind: 'child', step: name, attempt, workflow, runId: n % 11 === 0 ? 'other' : runId, ending }];
}

export type Look = (
  before: RunState,
  transitions: readonly Transition[],
  after: RunState,
  input: Input,
  story: Story,
) => void;

/** Plays a history of chance and lets `look` see each step of it. */
export function play(look: Look) {
  return fc.property(anyDefinition, fc.array(fc.nat(), { minLength: 5, maxLength: 60 }), (definition, picks) => {
    const story = new Story(definition);
    for (const pick of picks) {
      const choices = candidates(story, pick % 101);
      const body = choices[pick % choices.length] ?? retried();
      const before = story.state;
      const { transitions } = story.feed(body);
      const input = story.inputs.at(-1);
      if (input !== undefined) look(before, transitions, story.state, input, story);
    }
  });
}

/** A history of chance, told to its end. */
export const storyOfChance: fc.Arbitrary<Story> = fc
  .tuple(anyDefinition, fc.array(fc.nat(), { minLength: 5, maxLength: 60 }))
  .map(([definition, picks]) => {
    const story = new Story(definition);
    for (const pick of picks) {
      const choices = candidates(story, pick % 101);
      story.feed(choices[pick % choices.length] ?? retried());
    }
    return story;
  });
