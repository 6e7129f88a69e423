/** Small definitions for tests. */
import type { Definition, RetryPolicy, StepDefinition } from '../../src/engine/index.ts';
import { sealDefinition } from '../../src/manifests/index.ts';

/** Three quick attempts. */
export const PATIENT: RetryPolicy = {
  initialMs: 10,
  factor: 1,
  maxMs: 10,
  jitter: 0,
  maxAttempts: 3,
  maxLost: 3,
};

export function workerStep(
  name: string,
  needs: readonly string[] = [],
  more: Partial<StepDefinition> = {},
): StepDefinition {
  return { name, needs, action: { kind: 'worker', handler: name, queue: 'q' }, retry: PATIENT, ...more };
}

/** A sealed definition. */
export function define(
  name: string,
  steps: readonly StepDefinition[],
  more: Partial<Omit<Definition, 'name' | 'steps' | 'digest'>> = {},
): Definition {
  return sealDefinition({ name, deadLetter: false, triggers: [], ...more, steps });
}
