/** `millrace replay`: proves from the journal that the present code decides the same, or shows a run at a past moment. */
import type { Command } from 'commander';
import type { Definition, RunRef } from '../../engine/index.ts';
import { MillraceError } from '../../kernel/index.ts';
import {
  type Divergence,
  digestsOf,
  divergedError,
  type Recording,
  readInputBody,
  stateAt,
  type Verification,
  verifyRun,
} from '../../replay/index.ts';
import type { CliContext } from '../context.ts';
import { findRun, workflowsToSearch } from '../find-run.ts';
import { formatTime } from '../format-time.ts';
import { jsonOption, wholeNumber, workflowOption } from '../options.ts';
import type { Output } from '../output.ts';
import { registerCheck } from './replay-check.ts';

interface ReplayOptions {
  readonly workflow?: string;
  readonly all?: boolean;
  readonly at?: number;
}

/** Runs replayed at once: each waits for a handful of reads. */
const AT_ONCE = 8;
/** How many diverged runs are shown with their differences. */
const SHOWN = 3;

async function record(ctx: CliContext, run: RunRef): Promise<Recording> {
  const journal = await ctx.journal();
  const entries = await journal.entries(run);
  const inputs = await journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER);
  return { run, entries, inputs };
}

async function verify(ctx: CliContext, run: RunRef): Promise<Verification> {
  const recording = await record(ctx, run);
  const store = await ctx.definitions();
  const definitions = new Map<string, Definition>();
  for (const digest of digestsOf(recording, readInputBody)) {
    const definition = await store.byDigest(run.workflow, digest);
    if (definition !== undefined) definitions.set(digest, definition);
  }
  return verifyRun(recording, readInputBody, (digest) => definitions.get(digest));
}

function printDivergence(run: RunRef, divergence: Divergence, out: Output): void {
  const { c } = out;
  out.line(
    `${c.red('diverged')} ${run.runId} of ${run.workflow} at entry ${divergence.seq}, ${formatTime(divergence.at)}`,
  );
  out.line(`  ${divergence.message} (caused by input ${divergence.cause})`);
  if (divergence.diff.length > 0) out.line(c.dim('  - recorded   + decided today'));
  for (const { side, text } of divergence.diff) {
    const paint = side === '-' ? c.red : side === '+' ? c.green : c.dim;
    out.line(`  ${paint(`${side} ${text}`)}`);
  }
}

async function one(ctx: CliContext, run: RunRef): Promise<void> {
  const { out } = ctx;
  const found = await verify(ctx, run);
  out.result(found, () => {
    if (found.divergence !== undefined) return printDivergence(run, found.divergence, out);
    if (found.code === true) return out.line(`run ${run.runId} is of a durable function: it is replayed by its code`);
    const waiting = found.waiting === 0 ? '' : `; ${found.waiting} later inputs not judged`;
    out.line(
      `${out.c.green('replayed')} ${found.entries} entries (${found.transitions} transitions, ${found.inputs} inputs), identical${waiting}`,
    );
  });
  if (found.divergence !== undefined) throw divergedError(run, found.divergence);
}

async function verifyAll(ctx: CliContext, runs: readonly RunRef[]): Promise<readonly Verification[]> {
  const progress = ctx.out.progress('replaying');
  const results: Verification[] = [];
  const waiting = [...runs];
  const lane = async (): Promise<void> => {
    for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
      ctx.signal.throwIfAborted();
      results.push(await verify(ctx, run));
      progress.tick(results.length, runs.length);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
  } finally {
    progress.end();
  }
  return results;
}

async function all(ctx: CliContext, workflow: string | undefined): Promise<void> {
  const { out } = ctx;
  const reader = await ctx.reader();
  const names = await workflowsToSearch(ctx, workflow);
  const runs = (await Promise.all(names.map((name) => reader.runs(name)))).flat();
  const results = await verifyAll(ctx, runs);
  const diverged = results.filter(({ identical }) => !identical);
  const sum = (pick: (found: Verification) => number): number => results.reduce((total, one) => total + pick(one), 0);
  const functions = results.filter(({ code }) => code === true).length;
  const totals = {
    runs: results.length,
    identical: results.length - diverged.length - functions,
    functions,
    entries: sum((found) => found.entries),
    transitions: sum((found) => found.transitions),
    inputs: sum((found) => found.inputs),
  };
  out.result({ ...totals, diverged }, () => {
    for (const found of diverged.slice(0, SHOWN)) {
      if (found.divergence !== undefined) printDivergence(found, found.divergence, out);
    }
    if (diverged.length > SHOWN) out.line(`and ${diverged.length - SHOWN} more; --json has them all`);
    const verdict = diverged.length === 0 ? out.c.green('identical') : out.c.red(`${diverged.length} runs diverged`);
    out.line(`replayed ${totals.entries} entries of ${totals.runs - functions} runs, ${verdict}`);
    if (functions > 0) out.line(`${functions} runs of durable functions are replayed by their code, not here`);
  });
  const [first] = diverged;
  if (first?.divergence !== undefined) throw divergedError(first, first.divergence);
}

async function at(ctx: CliContext, run: RunRef, seq: number): Promise<void> {
  const entries = await (await ctx.journal()).entries(run);
  const [first] = entries;
  if (first === undefined || seq < first.seq) {
    throw new MillraceError('MR_USAGE', `run ${run.runId} has no entry at or before ${seq}`, {
      hint: first === undefined ? 'its log is empty' : `its first entry is ${first.seq}; see \`millrace runs history\``,
    });
  }
  // The state is a value to look into; text would only be the same with less.
  ctx.out.data(stateAt(run, entries, seq));
}

async function replay(ctx: CliContext, text: string | undefined, options: ReplayOptions): Promise<void> {
  if (options.all === true) {
    if (text !== undefined || options.at !== undefined) {
      throw new MillraceError('MR_USAGE', '--all goes with neither a run nor --at', {
        hint: 'name one run, or all of a workflow with --all --workflow <name>',
      });
    }
    return all(ctx, options.workflow);
  }
  if (text === undefined) {
    throw new MillraceError('MR_USAGE', 'which run?', { hint: 'give its id, or --all' });
  }
  const run = await findRun(ctx, text, options.workflow);
  return options.at === undefined ? one(ctx, run) : at(ctx, run, options.at);
}

export function register(program: Command, ctx: CliContext): void {
  const replaying = program
    .command('replay')
    .description('prove that the present code decides what the journal says was decided')
    .argument('[run]', 'id of the run; its beginning is enough while it is unique')
    .option('--all', 'all runs, of one workflow with --workflow')
    .option('--at <sequence>', 'print the state of the run after the entry at or before this sequence', wholeNumber(1))
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Each recorded input is decided again by this version of Millrace; the transitions must come out the same, to the
letter. Nothing is written. Exit code 1 and MR_REPLAY_DIVERGED when they do not. Runs of durable functions are passed
over: their own code replays them.
Examples:
  $ millrace replay 7k2p
  $ millrace replay --all --workflow delay-report
  $ millrace replay 7k2p --at 4211`,
    )
    .action((run: string | undefined, options: ReplayOptions) => replay(ctx, run, options));
  registerCheck(replaying, ctx);
}
