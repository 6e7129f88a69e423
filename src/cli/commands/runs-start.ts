/** `millrace runs start <workflow>`: starts a run by hand. */
import type { Command } from 'commander';
import { derivedId, MillraceError, runIdOfKey } from '../../kernel/index.ts';
import { headersOfContext } from '../../telemetry/index.ts';
import type { CliContext } from '../context.ts';
import { jsonOption, readJson } from '../options.ts';

interface StartOptions {
  readonly payload?: string;
  readonly key?: string;
}

async function start(ctx: CliContext, workflow: string, options: StartOptions): Promise<void> {
  const payload = options.payload === undefined ? null : (await readJson(ctx, options.payload, 'payload')).value;
  const definitions = await ctx.definitions();
  const definition = await definitions.current(workflow);
  if (definition === undefined) {
    const names = (await definitions.list()).map(({ name }) => name);
    throw new MillraceError('MR_WORKFLOW_MISSING', `there is no workflow "${workflow}"`, {
      hint: names.length === 0 ? 'apply one with `millrace apply streams/`' : `there are ${names.join(', ')}`,
    });
  }
  const runId = options.key === undefined ? derivedId('cli', workflow, ctx.newId()) : runIdOfKey(workflow, options.key);
  const run = { workflow, runId };
  const journal = await ctx.journal();
  // The duplicate window is only minutes long; a key must hold for as long as its run is known.
  const known = options.key !== undefined && (await (await ctx.reader()).has(run));
  const { trace } = ctx;
  const stored = known
    ? { duplicate: true }
    : await journal.send(
        run,
        {
          v: 1,
          kind: 'start',
          digest: definition.digest,
          payload,
          by: ctx.by,
          ...(trace === undefined ? {} : { trace }),
        },
        { msgId: `start:${runId}`, ...(trace === undefined ? {} : { headers: headersOfContext(trace) }) },
      );
  const started = !stored.duplicate;
  ctx.out.result({ ...run, started }, () => {
    ctx.out.line(started ? `started ${runId}` : `run ${runId} of this key was started before`);
    ctx.out.note(`see \`millrace runs show ${runId}\``);
  });
}

export function registerStart(runs: Command, ctx: CliContext): void {
  runs
    .command('start')
    .description('start a run of a workflow')
    .argument('<workflow>', 'name of the workflow')
    .option('-p, --payload <json>', 'payload: JSON, @file or @- for stdin (default: null)')
    .option('-k, --key <key>', 'idempotency key: the same key starts one run')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The run joins the trace in TRACEPARENT when that is set.
Examples:
  $ millrace runs start delay-report --payload @day.json --key 2001-01-03
  $ echo '{"n":1}' | millrace runs start count -p @-`,
    )
    .action((workflow: string, options: StartOptions) => start(ctx, workflow, options));
}
