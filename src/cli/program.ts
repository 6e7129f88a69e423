/** The command tree. Each command file registers itself; what goes wrong in parsing leaves as MR_USAGE. */
import { Command, CommanderError } from 'commander';
import { MillraceError } from '../kernel/index.ts';
import { COMMANDS } from './commands/index.ts';
import type { CliContext } from './context.ts';

const AFTER = `
Exit codes:
  0  done                       2  wrong arguments or configuration
  1  failed, or found problems  3  a part outside could not be reached

Settings come from the environment (MILLRACE_NATS_URL, ...); docs/protocol.md lists them.
Examples:
  $ millrace runs list --status failed
  $ millrace runs show 7k2p
  $ millrace replay 7k2p`;

/** Where help goes: asked for, or shown because nothing was asked for. */
export interface ProgramStreams {
  out(text: string): void;
  err(text: string): void;
}

/** The whole tree, ready to parse; `version` is the package's. */
export function createProgram(ctx: CliContext, version: string, streams: ProgramStreams): Command {
  const program = new Command('millrace');
  program
    .description('A durable orchestrator on NATS JetStream: streams hold the truth, Prefect runs the flows')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .option('--nats-url <url>', 'NATS server(s), comma-separated (default: MILLRACE_NATS_URL)')
    .option('--token <token>', 'NATS token (default: MILLRACE_NATS_TOKEN)')
    .option('--no-color', 'no colours, as NO_COLOR=1')
    .addHelpText('after', AFTER)
    .configureHelp({ helpWidth: 100, showGlobalOptions: false })
    .configureOutput({ writeOut: streams.out, writeErr: streams.err, outputError: () => {} })
    .exitOverride();
  for (const register of COMMANDS) register(program, ctx);
  return program;
}

/** The command whose arguments could not be read, for the hint: the longest chain of names in the arguments. */
function commandPath(program: Command, argv: readonly string[]): string {
  let current = program;
  const path = [program.name()];
  for (const word of argv) {
    const next = current.commands.find((command) => command.name() === word);
    if (next === undefined) continue;
    current = next;
    path.push(word);
  }
  return path.join(' ');
}

/**
 * Parses and runs.
 * @param argv the arguments after the program's name
 * @throws MillraceError MR_USAGE when they cannot be understood; whatever the command throws
 */
export async function runProgram(program: Command, argv: readonly string[]): Promise<void> {
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return; // help or version, as asked
    const path = commandPath(program, argv);
    const message = error.code === 'commander.help' ? `"${path}" needs a command` : error.message;
    const said = message.replace(/^error: /, '').replace(/^command-argument value/, 'value');
    throw new MillraceError('MR_USAGE', said.replace(/\n\(/, ' ('), { hint: `see \`${path} --help\`` });
  }
}
