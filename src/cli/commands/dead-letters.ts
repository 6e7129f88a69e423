/** `millrace dead-letters …`: messages that could not be worked on. */
import { Argument, type Command, Option } from 'commander';
import type { DeadLetterFilter, StoredDeadLetter } from '../../engine/index.ts';
import { type DeadKind, type Json, MillraceError } from '../../kernel/index.ts';
import type { CliContext } from '../context.ts';
import { counted, formatTime, oneLine } from '../format-time.ts';
import { jsonOption, wholeNumber, workflowOption } from '../options.ts';

const KINDS = ['trigger', 'run', 'input', 'task', 'flow'] as const satisfies readonly DeadKind[];

interface FilterOptions {
  readonly kind?: DeadKind;
  readonly workflow?: string;
  readonly run?: string;
}

/** Lines of a message that `show` prints: enough to know it again, less than a screen. */
const SHOWN_LINES = 40;

/** Whole ids only: a beginning could purge what was not meant. */
const filterOf = ({ kind, workflow, run }: FilterOptions): DeadLetterFilter => ({ kind, workflow, runId: run });

/** The message: as JSON when it is, else as text, else as base 64. */
function payloadOf(
  data: Uint8Array,
): { readonly payload: Json } | { readonly text: string } | { readonly base64: string } {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(data);
  } catch {
    return { base64: btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join('')) };
  }
  try {
    return { payload: JSON.parse(text) as Json };
  } catch {
    return { text };
  }
}

function letterData(letter: StoredDeadLetter) {
  const { data, ...rest } = letter;
  return { ...rest, bytes: data.length };
}

async function list(ctx: CliContext, options: FilterOptions & { readonly limit: number }): Promise<void> {
  const limit = options.limit === 0 ? Number.POSITIVE_INFINITY : options.limit;
  const letters = await (await ctx.deadLetters()).list({ ...filterOf(options), limit });
  ctx.out.result(letters.map(letterData), () => {
    if (letters.length === 0) return ctx.out.line('no dead letters');
    const rows = letters.map(({ seq, at, kind, workflow, runId, code, reason }) => [
      ...[String(seq), formatTime(at), kind, workflow, runId ?? '', code],
      oneLine(reason, 60),
    ]);
    ctx.out.table(['LETTER', 'SINCE', 'KIND', 'WORKFLOW', 'RUN', 'CODE', 'REASON'], rows);
  });
}

async function show(ctx: CliContext, seq: number): Promise<void> {
  const letter = await (await ctx.deadLetters()).get(seq);
  if (letter === undefined) {
    throw new MillraceError('MR_INPUT_INVALID', `there is no dead letter ${seq}`, {
      hint: 'list them with `millrace dead-letters list`; they are kept for 30 days',
    });
  }
  const content = payloadOf(letter.data);
  ctx.out.result({ ...letterData(letter), ...content }, () => {
    const { out } = ctx;
    const { origin } = letter;
    const facts: [string, string][] = [
      ['kind', letter.kind],
      ['workflow', letter.workflow],
      ['run', letter.runId ?? ''],
      ['since', formatTime(letter.at)],
      ['reason', `${letter.reason} (${letter.code})`],
      ['origin', `message ${origin.sequence} of ${origin.stream} on ${origin.subject}`],
      ...Object.entries(letter.headers).map(([name, value]): [string, string] => ['header', `${name}: ${value}`]),
    ];
    out.line(`${out.c.bold('dead letter')} ${seq}`);
    for (const [name, text] of facts) if (text !== '') out.line(`  ${out.c.dim(name.padEnd(9))} ${text}`);
    if (letter.atOrigin) return out.line('\nThe message was too large to be kept here; it is at its origin.');
    const [value] = Object.values(content) as Json[];
    const lines = (typeof value === 'string' ? value : JSON.stringify(value, null, 2)).split('\n');
    out.line(`\n${lines.slice(0, SHOWN_LINES).join('\n')}`);
    if (lines.length > SHOWN_LINES) out.note(`${counted(lines.length - SHOWN_LINES, 'line')} more; --json prints all`);
  });
}

async function redeliver(
  ctx: CliContext,
  seqs: readonly number[],
  options: FilterOptions & { readonly all?: boolean },
): Promise<void> {
  const letters = await ctx.deadLetters();
  const chosen =
    options.all === true
      ? (await letters.list({ ...filterOf(options), limit: Number.POSITIVE_INFINITY })).map(({ seq }) => seq).reverse()
      : seqs;
  if (options.all !== true && seqs.length === 0) {
    throw new MillraceError('MR_USAGE', 'which letters?', {
      hint: 'give their numbers, or --all with --kind or --workflow',
    });
  }
  const done: { letter: number; subject: string; stream: string; sequence: number }[] = [];
  for (const seq of chosen) {
    const runId = ctx.out.json ? undefined : (await letters.get(seq))?.runId;
    const stored = await letters.redeliver(seq);
    done.push({ letter: seq, ...stored });
    if (ctx.out.json) continue;
    ctx.out.line(`letter ${seq} is message ${stored.sequence} of ${stored.stream} on ${stored.subject}`);
    // docs/operations.md: what exists is not started again, and the letter is gone now.
    if (runId !== undefined) {
      ctx.out.note(
        `  run ${runId} stays as it is: if its trigger has a key, only \`millrace runs retry ${runId}\` goes on`,
      );
    }
  }
  if (ctx.out.json) ctx.out.data(done);
  else if (done.length === 0) ctx.out.line('no dead letters');
}

async function purge(ctx: CliContext, options: FilterOptions & { readonly yes?: boolean }): Promise<void> {
  if (options.yes !== true) {
    throw new MillraceError('MR_USAGE', 'purged letters are gone for good', {
      hint: 'say --yes; --kind, --workflow and --run choose which',
    });
  }
  const purged = await (await ctx.deadLetters()).purge(filterOf(options));
  ctx.out.result({ purged }, () => ctx.out.line(`${counted(purged, 'dead letter')} purged`));
}

const withFilter = (command: Command): Command =>
  command
    .addOption(new Option('-k, --kind <kind>', 'only letters of this kind').choices(KINDS))
    .addOption(workflowOption())
    .option('-r, --run <run>', 'only letters of this run (its whole id)');

export function register(program: Command, ctx: CliContext): void {
  const group = program
    .command('dead-letters')
    .description('messages that could not be worked on: look, deliver again, purge');
  withFilter(group.command('list').alias('ls'))
    .description('list dead letters, the newest first')
    .option('-n, --limit <number>', 'at most so many; 0 for all', wholeNumber(0), 100)
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace dead-letters list --workflow delay-report')
    .action((options: FilterOptions & { limit: number }) => list(ctx, options));
  group
    .command('show')
    .description('show one dead letter with its message')
    .addArgument(new Argument('<letter>', 'its number').argParser(wholeNumber(1)))
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace dead-letters show 12 --json | jq .payload')
    .action((seq: number) => show(ctx, seq));
  withFilter(group.command('redeliver'))
    .description('publish the message to where it came from again, and remove the letter')
    .argument('[letters...]', 'their numbers', (text: string, all: number[] = []) => [...all, wholeNumber(1)(text)])
    .option('--all', 'all that the options choose, the oldest first')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ millrace dead-letters redeliver 12 13\n  $ millrace dead-letters redeliver --all --kind trigger',
    )
    .action((seqs: number[] | undefined, options: FilterOptions & { all?: boolean }) =>
      redeliver(ctx, seqs ?? [], options),
    );
  withFilter(group.command('purge'))
    .description('remove dead letters for good')
    .option('--yes', 'yes, remove them')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace dead-letters purge --workflow delay-report --yes')
    .action((options: FilterOptions & { yes?: boolean }) => purge(ctx, options));
}
