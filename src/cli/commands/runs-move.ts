/** `millrace runs move <id> --to <digest|current>`: a run that is under way goes on by another definition. */
import type { Command } from 'commander';
import { fold, type InputBody, whyNotMovable } from '../../engine/index.ts';
import { MillraceError } from '../../kernel/index.ts';
import type { CliContext } from '../context.ts';
import { findRun } from '../find-run.ts';
import { jsonOption, workflowOption } from '../options.ts';

interface MoveOptions {
  readonly to: string;
  readonly workflow?: string;
}

async function move(ctx: CliContext, text: string, options: MoveOptions): Promise<void> {
  const run = await findRun(ctx, text, options.workflow);
  const journal = await ctx.journal();
  const definitions = await ctx.definitions();
  const state = fold(run.workflow, run.runId, await journal.entries(run));
  const [from, to] = await Promise.all([
    definitions.byDigest(run.workflow, state.digest),
    options.to === 'current' ? definitions.current(run.workflow) : definitions.byDigest(run.workflow, options.to),
  ]);
  if (from === undefined || to === undefined) {
    const missing = from === undefined ? state.digest : options.to;
    throw new MillraceError('MR_DEFINITION_MISSING', `workflow ${run.workflow} has no definition ${missing}`, {
      hint: `see \`millrace versions ${run.workflow}\``,
    });
  }
  const reasons = whyNotMovable(from, to, state);
  if (reasons.length > 0) {
    throw new MillraceError('MR_RUN_STATE', `run ${run.runId} cannot go on by ${to.digest}: ${reasons.join('; ')}`, {
      hint: 'what has begun must be in the other definition under its name and of its kind; cancel the run and start another',
    });
  }
  const body: InputBody = { v: 1, kind: 'move', digest: to.digest, by: ctx.by };
  const { seq, duplicate } = await journal.send(run, body, { msgId: `move:${run.runId}:${state.lastEntry}` });
  ctx.out.result({ ...run, from: from.digest, to: to.digest, input: seq, duplicate }, () => {
    ctx.out.line(`run ${run.runId} will go on by definition ${to.digest}`);
  });
}

export function registerMove(runs: Command, ctx: CliContext): void {
  runs
    .command('move')
    .description('let a run that has not completed go on by another definition of its workflow')
    .argument('<run>', 'id of the run; its beginning is enough while it is unique')
    .requiredOption('--to <digest>', 'the definition, as `millrace versions` shows it, or `current`')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace runs move 7k2p --to current')
    .action((run: string, options: MoveOptions) => move(ctx, run, options));
}
