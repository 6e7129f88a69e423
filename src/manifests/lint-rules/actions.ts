/** What a step does: exactly one thing, and only settings that mean something to it. */
import { handlerToken, tryParseDuration } from '../../kernel/index.ts';
import { type Finding, finding, type LintRule, type WorkflowManifest } from '../manifest.ts';
import type { StepDocument } from '../schema.ts';
import type { FieldPath } from '../source.ts';

const ACTIONS = ['run', 'sleep', 'waitForSignal'] as const;

function eachStep(
  workflows: readonly WorkflowManifest[],
  look: (workflow: WorkflowManifest, step: StepDocument, path: FieldPath) => readonly Finding[],
): readonly Finding[] {
  return workflows.flatMap((workflow) =>
    workflow.value.spec.steps.flatMap((step, index) => look(workflow, step, ['spec', 'steps', index])),
  );
}

const RUNNERS = ['worker', 'prefect', 'workflow'] as const;
/** What a setting of `run` belongs to. */
const OWNERS = { queue: 'worker', pool: 'prefect', onParentClose: 'workflow', wait: 'workflow' } as const;
const SETTINGS = ['queue', 'pool', 'onParentClose', 'wait'] as const;

/** Exactly one of run, sleep, waitForSignal; in `run` exactly one of worker, prefect, workflow, each with its own settings. */
export const oneAction: LintRule = ({ workflows }) =>
  eachStep(workflows, (workflow, step, path) => {
    const rule = 'one-action';
    const given = ACTIONS.filter((action) => step[action] !== undefined);
    if (given.length !== 1) {
      const message =
        given.length === 0
          ? `step "${step.name}" does nothing`
          : `step "${step.name}" has ${given.length} actions: ${given.join(', ')}`;
      const hint = `give it exactly one of ${ACTIONS.join(', ')}${given.length > 1 ? '; make a step of each' : ''}`;
      const second = given[1];
      const at = second === undefined ? path : [...path, second];
      return [finding(workflow, at, { rule, message, hint, target: 'key' })];
    }
    const { run } = step;
    if (run === undefined) return [];
    const runners = RUNNERS.filter((runner) => run[runner] !== undefined);
    if (runners.length !== 1) {
      const message = runners.length === 0 ? 'run names nothing to run' : `run names ${runners.join(' and ')}`;
      const hint = 'write one of `worker: <handler>`, `prefect: <flow>/<deployment>` and `workflow: <name>`';
      return [finding(workflow, [...path, 'run'], { rule, message, hint, target: 'key' })];
    }
    return SETTINGS.filter((field) => run[field] !== undefined && run[OWNERS[field]] === undefined).map((stray) => {
      const message = `"${stray}" goes with "${OWNERS[stray]}", which this step does not have`;
      const hint = 'remove it; workers have a queue, prefect flows have a pool, child runs have onParentClose and wait';
      return finding(workflow, [...path, 'run', stray], { rule, message, hint, target: 'key' });
    });
  });

/** Settings without effect: attempts, input and time limit belong to things that run. */
export const idleSettings: LintRule = ({ workflows }) =>
  eachStep(workflows, (workflow, step, path) => {
    const found: Finding[] = [];
    const warn = (field: FieldPath, message: string, hint: string): void => {
      const details = { rule: 'no-effect', severity: 'warning', target: 'key', message, hint } as const;
      found.push(finding(workflow, [...path, ...field], details));
    };
    const waits =
      step.sleep !== undefined ? 'sleeps' : step.waitForSignal !== undefined ? 'waits for a signal' : undefined;
    if (waits !== undefined) {
      const limit = step.waitForSignal === undefined ? 'remove it' : 'write waitForSignal: {timeout: …} instead';
      if (step.timeout !== undefined) warn(['timeout'], `timeout has no effect on a step that ${waits}`, limit);
      for (const field of ['with', 'queueTimeout', 'heartbeatTimeout', 'compensate', 'forEach'] as const) {
        if (step[field] !== undefined) warn([field], `${field} has no effect on a step that ${waits}`, 'remove it');
      }
    }
    if (step.run?.prefect !== undefined && step.heartbeatTimeout !== undefined) {
      const hint = 'remove it; the bridge finds out within seconds when a flow host is gone';
      warn(['heartbeatTimeout'], 'heartbeatTimeout has no effect on a Prefect flow', hint);
    }
    if (step.run?.workflow !== undefined) {
      const hint = 'remove it; `timeout` limits the time of a child run, and its own steps have their own limits';
      for (const field of ['queueTimeout', 'heartbeatTimeout'] as const) {
        if (step[field] !== undefined) warn([field], `${field} has no effect on a child run`, hint);
      }
    }
    if (step.run?.wait === false && step.run.onParentClose !== undefined) {
      const hint = 'remove it, or wait: false: a child run that nobody waits for goes on by itself';
      warn(['run', 'onParentClose'], 'onParentClose has no effect with wait: false', hint);
    }
    const signal = step.waitForSignal;
    if (signal?.onTimeout !== undefined && signal.timeout === undefined) {
      const hint = 'add timeout, or remove onTimeout: without one the step waits for ever';
      warn(['waitForSignal', 'onTimeout'], 'onTimeout has no effect without timeout', hint);
    }
    return found;
  });

/** A longest wait that is shorter than the first one, of a step and of its compensation. */
export const retryOrder: LintRule = ({ workflows }) =>
  eachStep(workflows, (workflow, step, path) => {
    const policies = [
      [step.retry, [...path, 'retry']],
      [step.compensate?.retry, [...path, 'compensate', 'retry']],
    ] as const;
    return policies.flatMap(([retry, at]) => {
      if (retry === undefined) return [];
      const { initial, max } = retry;
      if ((tryParseDuration(max) ?? 0) >= (tryParseDuration(initial) ?? 0)) return [];
      const message = `retry.max (${max}) is shorter than retry.initial (${initial})`;
      const hint = 'the wait grows from initial to max; make max at least as long (the defaults are 1s and 1m)';
      return [finding(workflow, at, { rule: 'retry-order', message, hint, target: 'key' })];
    });
  });

/** A silence that can never be noticed before the attempt's own time is over. */
export const heartbeatOrder: LintRule = ({ workflows }) =>
  eachStep(workflows, (workflow, step, path) => {
    const { timeout, heartbeatTimeout } = step;
    if (timeout === undefined || heartbeatTimeout === undefined) return [];
    if ((tryParseDuration(heartbeatTimeout) ?? 0) < (tryParseDuration(timeout) ?? 0)) return [];
    const message = `heartbeatTimeout (${heartbeatTimeout}) is not shorter than timeout (${timeout})`;
    const hint = 'an attempt that is silent is then found by its timeout only; make heartbeatTimeout a fraction of it';
    const details = { rule: 'heartbeat-order', severity: 'warning', message, hint, target: 'key' } as const;
    return [finding(workflow, [...path, 'heartbeatTimeout'], details)];
  });

/** Two handlers that differ only in "." and "-" would share one queue of tasks. */
export const handlerCollisions: LintRule = ({ workflows }) => {
  const first = new Map<string, string>();
  return eachStep(workflows, (workflow, step, path) => {
    const named = [
      [step.run, [...path, 'run', 'worker']],
      [step.compensate?.run, [...path, 'compensate', 'run', 'worker']],
    ] as const;
    return named.flatMap(([run, at]) => {
      const handler = run?.worker;
      if (handler === undefined) return [];
      const key = `${run?.queue ?? 'default'}/${handlerToken(handler)}`;
      const known = first.get(key) ?? handler;
      first.set(key, known);
      if (known === handler) return [];
      const message = `handlers "${handler}" and "${known}" become the same subject`;
      const hint = 'dots become "-" in subjects; rename one of them';
      return [finding(workflow, at, { rule: 'handler-collision', message, hint })];
    });
  });
};

/** A flow without a time limit keeps its step open as long as Prefect does. */
export const missingTimeouts: LintRule = ({ workflows }) =>
  eachStep(workflows, (workflow, step, path) => {
    if (step.run?.prefect === undefined || step.timeout !== undefined) return [];
    const message = `step "${step.name}" runs a Prefect flow without a timeout`;
    const hint = 'add timeout: a flow that hangs then fails the attempt instead of holding the run open';
    const details = { rule: 'missing-timeout', severity: 'note', target: 'key', message, hint } as const;
    return [finding(workflow, [...path, 'run'], details)];
  });
