/** `millrace validate`: checks manifests without a server. */
import type { Command } from 'commander';
import { checkManifests, isAcceptable, readManifests } from '../../manifests/index.ts';
import type { CliContext } from '../context.ts';
import { pathsOf, reportProblems } from '../manifest-options.ts';

export function register(program: Command, ctx: CliContext): void {
  program
    .command('validate')
    .description('check manifests; asks no server')
    .argument('[paths...]', 'manifest files, or directories of them (default: streams)')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  $ millrace validate\n  $ millrace validate streams/delay-report.yaml --json')
    .action(async (paths: string[]) => {
      const sources = await readManifests(pathsOf(paths));
      const { problems, definitions, streams, documents } = checkManifests(sources);
      reportProblems(ctx, problems, sources);
      const ok = isAcceptable(problems);
      ctx.out.result({ ok, files: sources.length, documents, problems }, () => {
        if (ok)
          ctx.out.line(`${sources.length} files: ${streams.length} streams, ${definitions.length} workflows, all good`);
      });
    });
}
