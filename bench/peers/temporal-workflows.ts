/** What runs in Temporal's sandbox: bundled by its SDK, so nothing but its workflow package is imported. */
import {
  condition,
  defineSignal,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  sleep,
} from '@temporalio/workflow';

/** The name of this type of activity is the name that the worker registers. */
export interface Activities {
  step(payload: string): Promise<string>;
}

const { step } = proxyActivities<Activities>({ startToCloseTimeout: '1 minute' });
const { step: localStep } = proxyLocalActivities<Activities>({ startToCloseTimeout: '1 minute' });

/** Ordinary activities: the result of each is an event in the history before the next is scheduled. */
export async function steps(count: number, payload: string): Promise<number> {
  let done = 0;
  for (; done < count; done++) await step(payload);
  return done;
}

/** Local activities: their results are stored together, when the workflow task that ran them ends. */
export async function localSteps(count: number, payload: string): Promise<number> {
  let done = 0;
  for (; done < count; done++) await localStep(payload);
  return done;
}

export async function fanOut(width: number): Promise<number> {
  const results = await Promise.all(Array.from({ length: width }, () => step('')));
  return results.length;
}

export async function localFanOut(width: number): Promise<number> {
  const results = await Promise.all(Array.from({ length: width }, () => localStep('')));
  return results.length;
}

export async function sleeper(ms: number): Promise<void> {
  await sleep(ms);
}

export const go = defineSignal('go');

export async function waiter(): Promise<void> {
  let gone = false;
  setHandler(go, () => {
    gone = true;
  });
  await condition(() => gone);
}
