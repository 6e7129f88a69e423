/** `millrace validate`: checks manifests without a server. */
import type { Command } from 'commander';
import { checkManifests, isAcceptable, readManifests } from '../../manifests/index.ts';
import type { CliContext } from '../context.ts';
import { counted } from '../format-time.ts';
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
        const found = [counted(streams.length, 'stream'), counted(definitions.length, 'workflow')];
        if (ok) ctx.out.line(`${counted(sources.length, 'file')}: ${found.join(', ')}, all good`);
      });
    });
}
