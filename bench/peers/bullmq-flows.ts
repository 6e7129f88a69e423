/** The shapes of BullMQ's flows that are measured. */
import type { FlowJob, FlowJobNode } from 'bullmq';

/** What a job is given, and gives back. */
export interface StepData {
  readonly value: number;
  readonly payload: string;
}

const NAME = 'step';

/**
 * n jobs, each the only child of the next: the first step is the innermost. Every job carries the payload itself: reading it out of
 * the child's result would cost each step a further round trip.
 */
export function chain(queueName: string, jobId: string, steps: number, payload: string): FlowJob {
  const job = (value: number): { name: string; queueName: string; data: StepData } => {
    return { name: NAME, queueName, data: { value, payload } };
  };
  let below: FlowJobNode[] = [];
  for (let step = 1; step < steps; step++) {
    below = [below.length === 0 ? job(step) : { ...job(step), children: below }];
  }
  const last = { ...job(steps), opts: { jobId } };
  return below.length === 0 ? last : { ...last, children: below };
}

/** `width` jobs at once and a parent that runs when all have ended. */
export function fan(queueName: string, jobId: string, width: number): FlowJob {
  const children = Array.from({ length: width }, (_, i) => ({
    name: NAME,
    queueName,
    data: { value: i, payload: '' },
  }));
  return { name: NAME, queueName, data: { value: width, payload: '' }, opts: { jobId }, children };
}
