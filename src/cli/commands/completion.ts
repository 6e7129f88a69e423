/** `millrace completion bash|zsh|fish`: a script made from the command tree, so it cannot be out of date. */
import { Argument, type Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion.ts';
import type { CliContext } from '../context.ts';

export function register(program: Command, ctx: CliContext): void {
  program
    .command('completion')
    .description('print a completion script for your shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .addHelpText(
      'after',
      `
Examples:
  $ source <(millrace completion bash)
  $ millrace completion zsh > "\${fpath[1]}/_millrace"
  $ millrace completion fish > ~/.config/fish/completions/millrace.fish`,
    )
    .action((shell: Shell) => ctx.out.line(completionScript(program, shell)));
}
