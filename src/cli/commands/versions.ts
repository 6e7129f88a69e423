/** `millrace versions …`: the definitions of a workflow that are kept, which runs go by which, and taking old ones away. */
import type { Command } from 'commander';
import { MillraceError } from '../../kernel/index.ts';
import type { RunSummary } from '../../replay/index.ts';
import type { CliContext } from '../context.ts';
import { workflowsToSearch } from '../find-run.ts';
import { formatTime } from '../format-time.ts';
import { jsonOption } from '../options.ts';
import { readSummaries } from '../summaries.ts';

/** One definition and the runs that go by it; of a durable function, one version of its code. */
interface Version {
  readonly digest: string;
  /** Durable functions: what their workers say of their code. */
  readonly version?: string;
  readonly current: boolean;
  /** ms since the epoch; absent when the definition is not kept any more. */
  readonly appliedAt?: number;
  readonly open: number;
  readonly ended: number;
}

const ENDED: ReadonlySet<RunSummary['status']> = new Set(['completed', 'failed', 'cancelled']);

function count(runs: readonly RunSummary[]): Pick<Version, 'open' | 'ended'> {
  const ended = runs.filter(({ status }) => ENDED.has(status)).length;
  return { open: runs.length - ended, ended };
}

/** Current first, then the newest. */
async function versionsOf(ctx: CliContext, workflow: string): Promise<readonly Version[]> {
  const [name = workflow] = await workflowsToSearch(ctx, workflow);
  const kept = await (await ctx.definitions()).versions(name);
  const runs = await readSummaries(ctx, [name]);
  const known = new Map(kept.map((one) => [one.digest, one]));
  const digests = new Set([...known.keys(), ...runs.map(({ digest }) => digest)]);
  const found: Version[] = [];
  for (const digest of digests) {
    const mine = runs.filter((run) => run.digest === digest);
    const codes = new Set(mine.map(({ version }) => version));
    if (codes.size === 0) codes.add(undefined);
    const { appliedAt, current = false } = known.get(digest) ?? {};
    for (const version of codes) {
      found.push({
        digest,
        ...(version === undefined ? {} : { version }),
        current,
        ...(appliedAt === undefined ? {} : { appliedAt }),
        ...count(mine.filter((run) => run.version === version)),
      });
    }
  }
  return found.sort((a, b) => Number(b.current) - Number(a.current) || (b.appliedAt ?? 0) - (a.appliedAt ?? 0));
}

async function list(ctx: CliContext, workflow: string): Promise<void> {
  const { out } = ctx;
  const versions = await versionsOf(ctx, workflow);
  out.result(versions, () => {
    const coded = versions.some(({ version }) => version !== undefined);
    const rows = versions.map(({ digest, version, current, appliedAt, open, ended }) => [
      digest,
      ...(coded ? [version ?? ''] : []),
      current ? 'current' : '',
      appliedAt === undefined ? 'not kept' : formatTime(appliedAt),
      String(open),
      String(ended),
    ]);
    out.table(['DEFINITION', ...(coded ? ['CODE'] : []), '', 'APPLIED', 'OPEN', 'ENDED'], rows);
  });
}

/** Between two looks at runs that are waited for, ms. */
const LOOK_EVERY_MS = 2_000;

async function drain(ctx: CliContext, workflow: string, digest: string, wait: boolean): Promise<void> {
  for (;;) {
    const versions = (await versionsOf(ctx, workflow)).filter((one) => one.digest === digest);
    if (versions.length === 0) {
      throw new MillraceError('MR_DEFINITION_MISSING', `workflow ${workflow} has no definition ${digest}`, {
        hint: `see \`millrace versions ${workflow}\``,
      });
    }
    const open = versions.reduce((sum, one) => sum + one.open, 0);
    const current = versions.some((one) => one.current);
    if (open === 0 || !wait || ctx.signal.aborted) {
      ctx.out.result({ workflow, digest, open, current, drained: open === 0 && !current }, () => {
        ctx.out.line(open === 0 ? `no open run goes by ${digest}` : `${open} open runs go by ${digest}`);
        if (current) ctx.out.note('it is the current definition: new runs begin by it');
      });
      if (open > 0) ctx.exit(1);
      return;
    }
    await ctx.sleep(LOOK_EVERY_MS).catch(() => undefined); // aborted: one last look says where it stands
  }
}

/** Every definition that anything of the workflow still needs: what a run has gone by, and what waiting starts name. */
async function namedDigests(ctx: CliContext, workflow: string): Promise<ReadonlySet<string>> {
  const reader = await ctx.reader();
  const named = new Set<string>();
  for await (const { entry } of reader.entries(workflow, ctx.signal)) {
    for (const t of entry.transitions) if (t.type === 'RunStarted' || t.type === 'RunMoved') named.add(t.digest);
  }
  for (const digest of await reader.digestsOfWaiting(workflow)) named.add(digest);
  return named;
}

/** A start that is on its way names the definition that was current when it was sent. */
const SETTLED_MS = 60_000;

async function prune(ctx: CliContext, workflow: string, dryRun: boolean): Promise<void> {
  const [name = workflow] = await workflowsToSearch(ctx, workflow);
  const definitions = await ctx.definitions();
  const named = await namedDigests(ctx, name);
  const kept = await definitions.versions(name);
  const isNew = kept.some(({ appliedAt }) => ctx.now() - appliedAt < SETTLED_MS);
  const unused = isNew ? [] : kept.filter(({ digest, current }) => !current && !named.has(digest));
  if (!dryRun) for (const { digest } of unused) await definitions.forget(name, digest);
  const digests = unused.map(({ digest }) => digest);
  ctx.out.result({ workflow: name, pruned: digests, kept: kept.length - digests.length, dryRun }, () => {
    for (const digest of digests) ctx.out.line(`${digest} ${dryRun ? 'would be taken away' : 'taken away'}`);
    if (isNew)
      ctx.out.line('nothing done: a definition was applied within the last minute, and starts may be on their way');
    else if (digests.length === 0) ctx.out.line('nothing to take away: each definition is current or named by a run');
  });
}

export function register(program: Command, ctx: CliContext): void {
  const versions = program
    .command('versions')
    .description('show which runs go by which definition of a workflow')
    .argument('<workflow>', 'name of the workflow or function')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace versions delay-report')
    .action((workflow: string) => list(ctx, workflow));
  versions
    .command('drain')
    .description('say whether an open run still goes by a definition; exit code 1 when one does')
    .argument('<workflow>', 'name of the workflow')
    .argument('<digest>', 'the definition, as `millrace versions` shows it')
    .option('--wait', 'wait until none does')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace versions drain delay-report 0f3a77d1c29be845 --wait')
    .action((workflow: string, digest: string, options: { readonly wait?: true }) =>
      drain(ctx, workflow, digest, options.wait === true),
    );
  versions
    .command('prune')
    .description('take away definitions that are not current and that no run names')
    .argument('<workflow>', 'name of the workflow')
    .option('--dry-run', 'only say which')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace versions prune delay-report --dry-run')
    .action((workflow: string, options: { readonly dryRun?: true }) => prune(ctx, workflow, options.dryRun === true));
}
