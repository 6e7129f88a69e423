import { messageOf, OpsError } from './lib/errors.ts';
import { DEMO_PARTS, PART_NAMES, type Part, type PartName, provision } from './provision/index.ts';
import { describe, printProgress } from './provision/progress.ts';
import { down, type PartStatus, runDir, STACK_PARTS, status, up } from './stack/index.ts';
import { envFile } from './stack/state.ts';

const HELP = `Usage: node --import tsx ops/main.ts <command> [options]

Commands
  provision   install what the servers need into the cache (.millrace/cache, or MILLRACE_CACHE)
  up          provision, then start nats, redis, prefect and jaeger; reuses what runs already
  down        stop what up started, and nothing else
  status      which servers run, and where

Options
  --only a,b  provision: ${PART_NAMES.join(', ')} (default: what the demo needs)
              up: ${STACK_PARTS.join(', ')} (default: all)
  --dir DIR   up, down, status: the folder of this stack (default: .millrace/run/default;
              MILLRACE_RUN names another one under .millrace/run, also for make demo and make down)
  --json      machine-readable output
  --help      this text

Ports are free ones unless set: MILLRACE_NATS_PORT, MILLRACE_REDIS_PORT, MILLRACE_PREFECT_PORT, MILLRACE_JAEGER_PORT,
MILLRACE_OTLP_PORT. After up, \`. DIR/env\` sets the addresses in a shell.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 a needed part is not available; 4 a port is in use.
With status: 0 when every recorded server runs, 1 when none does.
`;

interface Arguments {
  readonly command: string;
  readonly only: readonly string[] | undefined;
  readonly dir: string;
  readonly json: boolean;
}

function parse(argv: readonly string[]): Arguments | undefined {
  const rest = [...argv];
  let command: string | undefined;
  let only: string[] | undefined;
  let dir = runDir();
  let json = false;
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--help' || word === '-h' || word === 'help') return undefined;
    if (word === '--json') json = true;
    else if (word === '--only') only = takeValue(word, rest).split(',');
    else if (word === '--dir') dir = takeValue(word, rest);
    else if (command === undefined && !word.startsWith('-')) command = word;
    else throw new OpsError('MR_USAGE', `"${word}" is not understood here. See --help.`);
  }
  return command === undefined ? undefined : { command, only, dir, json };
}

function takeValue(option: string, rest: string[]): string {
  const value = rest.shift();
  if (value === undefined || value.startsWith('--')) throw new OpsError('MR_USAGE', `${option} needs a value.`);
  return value;
}

function pick<T extends string>(only: readonly string[] | undefined, all: readonly T[], byDefault: readonly T[]): T[] {
  if (only === undefined) return [...byDefault];
  return only.map((name) => {
    const known = all.find((one) => one === name);
    if (known === undefined) throw new OpsError('MR_USAGE', `"${name}" is not one of ${all.join(', ')}.`);
    return known;
  });
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const sayAside = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function runProvision(args: Arguments): Promise<number> {
  const names: PartName[] = pick(args.only, PART_NAMES, DEMO_PARTS);
  const parts: Part[] = await provision(names, printProgress({ write: args.json ? sayAside : say }));
  if (args.json) say(JSON.stringify(parts, undefined, 2));
  const needed = args.only === undefined ? ['nats', 'prefect'] : names;
  return parts.some((part) => part.status === 'unavailable' && needed.includes(part.name)) ? 3 : 0;
}

async function runUp(args: Arguments): Promise<number> {
  const names = pick(args.only, STACK_PARTS, STACK_PARTS);
  const chosen = Object.fromEntries(STACK_PARTS.map((part) => [part, names.includes(part)]));
  const progress = printProgress({ write: sayAside });
  const stack = await up({ dir: args.dir, with: chosen, progress });
  if (args.json) say(JSON.stringify({ dir: stack.dir, parts: status(args.dir), env: stack.env }, undefined, 2));
  else {
    printStatus(status(args.dir), stack.reused);
    for (const part of stack.unavailable) say(describe(part));
    say(`Addresses for your shell: . ${envFile(stack.dir)}`);
  }
  return 0;
}

async function runDown(args: Arguments): Promise<number> {
  const stopped = await down(args.dir);
  if (args.json) say(JSON.stringify({ stopped }));
  else say(stopped.length === 0 ? 'Nothing was running.' : `Stopped ${stopped.join(', ')}.`);
  return 0;
}

function runStatus(args: Arguments): number {
  const parts = status(args.dir);
  if (args.json) say(JSON.stringify(parts, undefined, 2));
  else printStatus(parts, []);
  return parts.some((part) => part.running) ? 0 : 1;
}

function printStatus(parts: readonly PartStatus[], reused: readonly string[]): void {
  for (const { part, running, pid, url } of parts) {
    const note = reused.includes(part) ? '  (was running)' : '';
    say(running ? `${part.padEnd(8)} ${url}  pid ${pid}${note}` : `${part.padEnd(8)} not running`);
  }
}

const EXIT_CODES: Partial<Record<OpsError['code'], number>> = { MR_USAGE: 2, MR_UNAVAILABLE: 3, MR_PORT_IN_USE: 4 };

async function main(argv: readonly string[]): Promise<number> {
  const args = parse(argv);
  if (args === undefined) {
    say(HELP);
    return argv.length === 0 ? 2 : 0;
  }
  switch (args.command) {
    case 'provision':
      return runProvision(args);
    case 'up':
      return runUp(args);
    case 'down':
      return runDown(args);
    case 'status':
      return runStatus(args);
    default:
      throw new OpsError('MR_USAGE', `There is no command "${args.command}". See --help.`);
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    sayAside(error instanceof OpsError ? `${error.code}: ${error.message}` : `Failed: ${messageOf(error)}`);
    process.exitCode = error instanceof OpsError ? (EXIT_CODES[error.code] ?? 1) : 1;
  },
);
