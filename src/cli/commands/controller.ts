/** `millrace controller`: the process that drives runs. */
import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { wholeNumber } from '../options.ts';

interface ControllerOptions {
  readonly httpPort?: number;
  readonly wait?: boolean;
}

async function controller(ctx: CliContext, options: ControllerOptions): Promise<void> {
  const { redisUrl, prefectUrl } = ctx.settings();
  if (prefectUrl === undefined) ctx.out.note('MILLRACE_PREFECT_URL is not set: Prefect steps will wait.');
  else if (redisUrl === undefined) {
    ctx.out.note('MILLRACE_REDIS_URL is not set: the reconcile queue lives in memory. Run one controller only.');
  }
  const { httpPort, wait = false } = options;
  await ctx.runController({ wait, ...(httpPort === undefined ? {} : { httpPort }) });
}

export function register(program: Command, ctx: CliContext): void {
  program
    .command('controller')
    .description('drive runs: take inputs, decide, hand out steps, keep Prefect in step (runs until it is stopped)')
    .option(
      '--http-port <port>',
      'health and metrics; 0 takes a free one (default: MILLRACE_HTTP_PORT)',
      wholeNumber(0),
    )
    .option('--wait', 'wait for NATS when it does not answer at first, instead of giving up')
    .addHelpText(
      'after',
      `
Any number of controllers may run at once when they share a Redis; one without.
It serves /healthz, /readyz and /metrics, and ends in order on SIGTERM.
Examples:
  $ millrace controller --http-port 9100
  $ MILLRACE_REDIS_URL=redis://127.0.0.1:6379 millrace controller`,
    )
    .action((options: ControllerOptions) => controller(ctx, options));
}
