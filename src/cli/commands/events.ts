/** `millrace events tail`: state changes of runs, steps, flow runs and task runs, as they happen. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { tryParseDuration } from '../../kernel/index.ts';
import type { CliContext } from '../context.ts';
import { EVENT_KINDS, type EventFilter, type EventKind, isWanted, type StateChange } from '../events/event.ts';
import { followEvents } from '../events/follow.jetstream.ts';
import { formatClock, oneLine } from '../format-time.ts';
import { wholeNumber, workflowOption } from '../options.ts';

interface TailOptions {
  readonly kind?: readonly EventKind[];
  readonly workflow?: string;
  readonly run?: string;
  readonly deployment?: string;
  readonly state?: readonly string[];
  readonly flowRun?: string;
  readonly since?: number;
  readonly limit?: number;
  readonly json?: boolean;
}

function durationBack(text: string): number {
  const ms = tryParseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('It must be a duration such as 30s, 10m or 2h.');
  return ms;
}

const more = (text: string, all: readonly string[] = []): readonly string[] => [...all, text];

function lineOf(ctx: CliContext, change: StateChange): string {
  const { c } = ctx.out;
  const where = [change.workflow, change.runId, change.step, change.deployment, change.task].filter(
    (part) => part !== undefined,
  );
  const flow = change.flowRunId === undefined ? '' : c.dim(` flow run ${change.flowRunId}`);
  const message = change.message === undefined ? '' : c.dim(`  ${oneLine(change.message)}`);
  const state = change.state.toLowerCase();
  const colour = /fail|crash/.test(state) ? c.red : /complet/.test(state) ? c.green : c.bold;
  return `${formatClock(change.at)}  ${change.kind.padEnd(7)} ${colour(change.state.padEnd(12))} ${where.join(' ')}${flow}${message}`;
}

async function tail(ctx: CliContext, options: TailOptions): Promise<void> {
  const kinds: ReadonlySet<EventKind> = new Set(options.kind ?? EVENT_KINDS);
  const filter: EventFilter = {
    kinds,
    workflow: options.workflow,
    run: options.run,
    deployment: options.deployment,
    flowRun: options.flowRun,
    states: options.state === undefined ? undefined : new Set(options.state.map((one) => one.toLowerCase())),
  };
  const enough = new AbortController();
  let shown = 0;
  await followEvents({
    door: await ctx.door(),
    kinds,
    since: options.since === undefined ? undefined : ctx.now() - options.since,
    signal: AbortSignal.any([ctx.signal, enough.signal]),
    onReady: () => ctx.out.note('following; end with Ctrl-C'),
    onChange: (change) => {
      if (shown === options.limit || !isWanted(change, filter)) return;
      // One document a line: this listing has no end.
      ctx.out.line(options.json === true ? JSON.stringify(change) : lineOf(ctx, change));
      if (++shown === options.limit) enough.abort();
    },
  });
}

export function register(program: Command, ctx: CliContext): void {
  const events = program.command('events').description('state changes as messages');
  events
    .command('tail')
    .description('show state changes of runs, steps, flow runs and task runs as they happen')
    .addOption(new Option('-k, --kind <kind...>', 'only these kinds').choices(EVENT_KINDS))
    .addOption(workflowOption())
    .option('--run <id>', 'only this run')
    .option('--deployment <name>', 'only flow runs and task runs of this Prefect deployment (needs prefect_nats)')
    .option('-s, --state <state>', 'only this state, by name or type; may be given several times', more)
    .option('--flow-run <id>', 'only this flow run of Prefect')
    .option('--since <duration>', 'begin with what was stored so long ago, e.g. 10m', durationBack)
    .option('-n, --limit <n>', 'end after so many', wholeNumber(1))
    .option('--json', 'print one JSON document a line')
    .addHelpText(
      'after',
      `
Runs and steps tell in MR_EVENTS, flow runs and task runs of the flow host, too. With Prefect's bus on JetStream
(docs/prefect-nats.md) every flow run and task run of Prefect's is shown, also those that Millrace did not start.
Examples:
  $ millrace events tail --kind flow --state Failed
  $ millrace events tail --deployment nightly --state Late --state Crashed --json
  $ millrace events tail --run 2001-01-12 --since 1h`,
    )
    .action((options: TailOptions) => tail(ctx, options));
}
