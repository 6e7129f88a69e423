/** Starts a job at some service that only answers "not yet", and asks until it has ended. */
import { z } from 'zod';
import { NonRetryableError, workflow } from '../../src/index.ts';

const MINUTE = 60_000;

/** The service. `submit` with a known key gives the job that it gave before. */
export interface JobService {
  submit(query: string, key: string): Promise<string>;
  status(job: string): Promise<{ readonly done: boolean; readonly failed?: string; readonly rows?: number }>;
}

export const exportOf = (service: JobService) =>
  workflow('export-job', { input: z.object({ query: z.string() }), output: z.number() }, async (ctx, { query }) => {
    const job = await ctx.step('submit', ({ idempotencyKey }) => service.submit(query, idempotencyKey));
    const deadline = ctx.now() + 24 * 60 * MINUTE;
    for (let pause = MINUTE; ctx.now() < deadline; pause = Math.min(2 * pause, 30 * MINUTE)) {
      await ctx.sleep(pause);
      const { done, failed, rows = 0 } = await ctx.step('poll', () => service.status(job));
      if (failed !== undefined) throw new NonRetryableError(`job ${job} failed: ${failed}`);
      if (done) return rows;
    }
    throw new NonRetryableError(`job ${job} has not ended within a day`);
  });
