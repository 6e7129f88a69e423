/** `millrace runs retry|resume|cancel|kill|signal <id>`: what people may tell a run. */
import type { Command } from 'commander';
import { fold, type InputBody, isEnded, itemsOf, type RunRef, type RunState } from '../../engine/index.ts';
import { MillraceError } from '../../kernel/index.ts';
import type { CliContext } from '../context.ts';
import { findRun } from '../find-run.ts';
import { duration, jsonOption, readJson, workflowOption } from '../options.ts';

interface ControlOptions {
  readonly workflow?: string;
  readonly reason?: string;
  readonly payload?: string;
  readonly step?: string;
  readonly grace?: number;
}

/** The run as it is now, or the sentence why it cannot be told this. */
async function runThat(
  ctx: CliContext,
  text: string,
  workflow: string | undefined,
  refuse: (state: RunState) => { readonly message: string; readonly hint: string } | undefined,
): Promise<{ readonly run: RunRef; readonly state: RunState }> {
  const run = await findRun(ctx, text, workflow);
  const state = fold(run.workflow, run.runId, await (await ctx.journal()).entries(run));
  const refused = refuse(state);
  if (refused !== undefined) {
    throw new MillraceError('MR_RUN_STATE', `run ${run.runId} ${refused.message}`, { hint: refused.hint });
  }
  return { run, state };
}

async function tell(ctx: CliContext, run: RunRef, body: InputBody, msgId: string, said: string): Promise<void> {
  const { seq, duplicate } = await (await ctx.journal()).send(run, body, { msgId });
  ctx.out.result({ ...run, input: seq, duplicate }, () => {
    ctx.out.line(duplicate ? `${said} (it had been told before)` : said);
  });
}

async function retry(ctx: CliContext, text: string, options: ControlOptions): Promise<void> {
  const { run, state } = await runThat(ctx, text, options.workflow, ({ status }) =>
    status === 'failed' || status === 'cancelled'
      ? undefined
      : { message: `is ${status}`, hint: 'only a failed or cancelled run can be retried' },
  );
  // The id follows from the state: telling it twice before anything happened is telling it once.
  const msgId = `retry:${run.runId}:${state.lastEntry}`;
  await tell(ctx, run, { v: 1, kind: 'retry', by: ctx.by }, msgId, `run ${run.runId} will be retried`);
}

async function cancel(ctx: CliContext, text: string, options: ControlOptions): Promise<void> {
  const { run, state } = await runThat(ctx, text, options.workflow, (current) => {
    if (isEnded(current)) return { message: `is ${current.status} already`, hint: 'there is nothing to cancel' };
    if (current.closing === undefined) return undefined;
    const message = current.closing.outcome === 'cancelled' ? 'is being cancelled already' : 'is about to fail';
    return { message, hint: '`millrace runs kill` ends it at once, without what is left to compensate' };
  });
  const reason = options.reason ?? `cancelled by ${ctx.by}`;
  const msgId = `cancel:${run.runId}:${state.lastEntry}`;
  const grace = options.grace === undefined ? {} : { graceMs: options.grace };
  const body: InputBody = { v: 1, kind: 'cancel', reason, by: ctx.by, ...grace };
  await tell(ctx, run, body, msgId, `run ${run.runId} will be cancelled`);
}

async function kill(ctx: CliContext, text: string, options: ControlOptions): Promise<void> {
  const { run, state } = await runThat(ctx, text, options.workflow, (current) =>
    isEnded(current) ? { message: `is ${current.status} already`, hint: 'there is nothing to kill' } : undefined,
  );
  const reason = options.reason ?? `killed by ${ctx.by}`;
  const msgId = `kill:${run.runId}:${state.lastEntry}`;
  await tell(ctx, run, { v: 1, kind: 'kill', reason, by: ctx.by }, msgId, `run ${run.runId} will be killed`);
}

function pausedSteps(state: RunState): readonly string[] {
  const steps = [...Object.values(state.steps), ...itemsOf(state)];
  return steps.filter(({ status }) => status === 'paused').map(({ name }) => name);
}

async function resume(ctx: CliContext, text: string, options: ControlOptions): Promise<void> {
  const { step } = options;
  const { run, state } = await runThat(ctx, text, options.workflow, (current) => {
    const paused = isEnded(current) ? [] : pausedSteps(current);
    if (step === undefined ? paused.length > 0 : paused.includes(step)) return undefined;
    const hint =
      paused.length === 0 ? `it is ${current.status}; nothing of it is paused` : `paused: ${paused.join(', ')}`;
    return { message: step === undefined ? 'has no paused step' : `has no paused step "${step}"`, hint };
  });
  const body: InputBody = { v: 1, kind: 'resume', by: ctx.by, ...(step === undefined ? {} : { step }) };
  const msgId = `resume:${run.runId}:${step ?? ''}:${state.lastEntry}`;
  const what = step ?? pausedSteps(state).join(', ');
  await tell(ctx, run, body, msgId, `run ${run.runId} goes on with ${what}`);
}

async function signal(ctx: CliContext, text: string, name: string, options: ControlOptions): Promise<void> {
  const payload = options.payload === undefined ? null : (await readJson(ctx, options.payload, 'payload')).value;
  const { run, state } = await runThat(ctx, text, options.workflow, (current) =>
    isEnded(current) ? { message: `is ${current.status} already`, hint: 'an ended run takes no signals' } : undefined,
  );
  const body: InputBody = { v: 1, kind: 'signal', name, payload, by: ctx.by };
  await tell(ctx, run, body, `signal:${ctx.newId()}`, `signal ${name} sent to run ${run.runId}`);
  if (ctx.out.json || state.digest === undefined) return;
  const definition = await (await ctx.definitions()).byDigest(run.workflow, state.digest);
  const wanted = (definition?.steps ?? []).flatMap(({ action }) => (action.kind === 'signal' ? [action.name] : []));
  if (definition === undefined || wanted.includes(name)) return;
  ctx.out.note(
    `no step of this run waits for "${name}"${wanted.length === 0 ? '' : `; they wait for ${wanted.join(', ')}`}`,
  );
}

const RUN = ['<run>', 'id of the run; its beginning is enough while it is unique'] as const;

export function registerControl(runs: Command, ctx: CliContext): void {
  runs
    .command('retry')
    .description('run the failed and cancelled steps of an ended run again')
    .argument(...RUN)
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace runs retry 7k2p')
    .action((run: string, options: ControlOptions) => retry(ctx, run, options));
  runs
    .command('cancel')
    .description('cancel a run and what it has under way, in Prefect too; compensates what was done')
    .argument(...RUN)
    .option('-r, --reason <text>', 'why; stands in the history')
    .option('--grace <duration>', "how long attempts under way may take to end (default: the workflow's)", duration)
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      "\nExamples:\n  $ millrace runs cancel 7k2p --reason 'wrong day'\n  $ millrace runs cancel 7k2p --grace 30s",
    )
    .action((run: string, options: ControlOptions) => cancel(ctx, run, options));
  runs
    .command('kill')
    .description('end a run at once: nothing is waited for, nothing is compensated')
    .argument(...RUN)
    .option('-r, --reason <text>', 'why; stands in the history')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText('after', "\nExamples:\n  $ millrace runs kill 7k2p --reason 'the refund hangs'")
    .action((run: string, options: ControlOptions) => kill(ctx, run, options));
  runs
    .command('resume')
    .description('let paused steps of a run go on, when what was broken is mended')
    .argument(...RUN)
    .option('--step <name>', 'only this one (default: all that are paused)')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace runs list --paused\n  $ millrace runs resume 7k2p --step charge')
    .action((run: string, options: ControlOptions) => resume(ctx, run, options));
  runs
    .command('signal')
    .description('send a signal to a run; it waits for the step that wants it')
    .argument(...RUN)
    .argument('<name>', 'name of the signal')
    .option('-p, --payload <json>', 'payload: JSON, @file or @- for stdin (default: null)')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace runs signal 7k2p approve --payload \'{"by":"me"}\'')
    .action((run: string, name: string, options: ControlOptions) => signal(ctx, run, name, options));
}
