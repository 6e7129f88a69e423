/** `millrace plan`: what apply would do. Changes nothing. */
import type { Command } from 'commander';
import { formatPlan, preparePlan, readManifests, writePlanFile } from '../../manifests/index.ts';
import type { CliContext } from '../context.ts';
import { addPlanOptions, deploymentsOf, type PlanOptions, pathsOf, reportProblems } from '../manifest-options.ts';

export function register(program: Command, ctx: CliContext): void {
  addPlanOptions(program.command('plan'))
    .description('show what apply would do, and what is live but not in the manifests')
    .option('--out <file>', 'write the plan down, for apply --plan')
    .addHelpText('after', '\nExamples:\n  $ millrace plan streams/\n  $ millrace plan --out plan.json')
    .action(async (paths: string[], options: PlanOptions & { readonly out?: string }) => {
      const sources = await readManifests(pathsOf(paths));
      const { nc } = await ctx.door();
      const deployments = deploymentsOf(ctx.settings());
      const { checked, plan } = await preparePlan(nc, sources, { ...options, deployments });
      const problems = [...checked.problems, ...(plan?.problems ?? [])];
      reportProblems(ctx, problems, sources);
      if (plan !== undefined && options.out !== undefined) await writePlanFile(options.out, plan);
      ctx.out.result({ problems, plan: plan ?? null }, () => {
        if (plan !== undefined) ctx.out.line(formatPlan(plan));
      });
    });
}
