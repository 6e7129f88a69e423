/** `millrace apply`: makes the live system what the manifests say. */
import type { Command } from 'commander';
import {
  applyPlan,
  countActions,
  formatAction,
  formatPlan,
  isAcceptable,
  type Plan,
  type Problem,
  parsePlanFile,
  preparePlan,
  readManifests,
} from '../../manifests/index.ts';
import type { CliContext } from '../context.ts';
import { addPlanOptions, deploymentsOf, type PlanOptions, pathsOf, reportProblems } from '../manifest-options.ts';

interface ApplyCommandOptions extends PlanOptions {
  readonly plan?: string;
}

/** The plan of the file, or one made now. Its problems are printed on the way. */
async function planOf(
  ctx: CliContext,
  paths: readonly string[],
  options: ApplyCommandOptions,
): Promise<{ readonly plan: Plan | undefined; readonly problems: readonly Problem[] }> {
  if (options.plan !== undefined) {
    const plan = parsePlanFile(await ctx.read(`@${options.plan}`), options.plan);
    reportProblems(ctx, plan.problems);
    return { plan, problems: plan.problems };
  }
  const sources = await readManifests(pathsOf(paths));
  const { nc } = await ctx.door();
  const prepared = await preparePlan(nc, sources, { ...options, deployments: deploymentsOf(ctx.settings()) });
  const problems = [...prepared.checked.problems, ...(prepared.plan?.problems ?? [])];
  reportProblems(ctx, problems, sources);
  return { plan: prepared.plan, problems };
}

export function register(program: Command, ctx: CliContext): void {
  const { out } = ctx;
  addPlanOptions(program.command('apply'))
    .description('create and change streams, consumers and workflows so that they are as described')
    .option('--plan <file>', 'apply this plan (of plan --out); refused when the system has changed since')
    .addHelpText('after', '\nExamples:\n  $ millrace apply streams/\n  $ millrace apply --plan plan.json')
    .action(async (paths: string[], options: ApplyCommandOptions) => {
      const { plan, problems } = await planOf(ctx, paths, options);
      if (plan === undefined || !isAcceptable(problems)) {
        out.result({ applied: [], problems }, () => out.note('nothing was applied'));
        return;
      }
      const { nc } = await ctx.door();
      const done = await applyPlan(nc, plan, { onAction: (action) => out.json || out.line(formatAction(action)) });
      const applied = done.map(({ kind, name, diff }) => ({ kind, name, diff }));
      out.result({ applied, drift: plan.drift, problems }, () => {
        if (done.length > 0) out.line(`Applied: ${countActions(done, true)}.`);
        else out.line(formatPlan(plan));
      });
    });
}
