/** `millrace schedules …`: what starts runs at times: look, pause, start by hand, fill in the past. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { OverlapPolicy, ScheduleDefinition } from '../../engine/index.ts';
import { MillraceError } from '../../kernel/index.ts';
import { dueTime, nextTime, OVERLAPS } from '../../schedules/index.ts';
import type { CliContext } from '../context.ts';
import { isLate } from '../doctor/judge-schedules.ts';
import { type FoundSchedule, findSchedule, findSchedules } from '../find-schedule.ts';
import { counted, formatTime, oneLine } from '../format-time.ts';
import { jsonOption, wholeNumber, workflowOption } from '../options.ts';
import { registerBackfill } from './schedules-backfill.ts';
import { send } from './schedules-send.ts';

function statusOf({ spec, state }: FoundSchedule, now: number): string {
  if (spec === undefined) return 'removed';
  if (spec.paused === true || state?.paused !== undefined) return 'paused';
  if (state === undefined) return 'new';
  return state.next === undefined ? 'over' : isLate(state, now) ? 'late' : 'on';
}

function data(found: FoundSchedule, now: number) {
  const { ref, spec, state } = found;
  const { next, running = [], waiting = [], backfills = [], counts, last, paused } = state ?? {};
  return {
    workflow: ref.workflow,
    schedule: ref.line,
    status: statusOf(found, now),
    ...(spec === undefined ? {} : { spec }),
    ...(next === undefined ? {} : { next }),
    ...(last === undefined ? {} : { last }),
    ...(paused === undefined ? {} : { paused }),
    counts: counts ?? { started: 0, skipped: 0 },
    running,
    waiting,
    backfills,
  };
}

function whenOf(spec: ScheduleDefinition | undefined): string {
  if (spec?.cron !== undefined) return `${spec.cron} ${spec.timeZone ?? 'UTC'}`;
  if (spec?.everyMs !== undefined) return `every ${spec.everyMs / 1_000}s`;
  return spec?.at === undefined ? '' : `at ${formatTime(spec.at)}`;
}

async function list(ctx: CliContext, options: { readonly workflow?: string }): Promise<void> {
  const { out } = ctx;
  const now = ctx.now();
  const all = (await findSchedules(ctx, options.workflow)).map((found) => ({ found, row: data(found, now) }));
  out.result(
    all.map(({ row }) => row),
    () => {
      if (all.length === 0) return out.line('no schedules');
      const rows = all.map(({ found, row }) => [
        `${row.workflow}/${row.schedule}`,
        row.status,
        whenOf(found.spec),
        row.next === undefined ? '' : formatTime(row.next.due),
        row.last === undefined ? '' : formatTime(row.last.at),
        `${row.running.length}`,
        `${row.waiting.length}`,
        `${row.counts.started}`,
        `${row.counts.skipped}`,
      ]);
      out.table(['SCHEDULE', 'STATUS', 'WHEN', 'NEXT', 'LAST', 'OPEN', 'WAITING', 'STARTED', 'SKIPPED'], rows);
    },
  );
}

async function show(ctx: CliContext, text: string): Promise<void> {
  const { out } = ctx;
  const found = await findSchedule(ctx, text);
  const row = data(found, ctx.now());
  const entries = found.state === undefined ? [] : (await (await ctx.lines()).entries(found.ref)).slice(-20);
  const history = entries.flatMap(({ at, transitions }) => transitions.map((transition) => ({ at, ...transition })));
  out.result({ ...row, history }, () => {
    const { spec } = found;
    const facts: [string, string][] = [
      ['status', row.status],
      ['when', whenOf(spec)],
      ['overlap', spec?.overlap ?? ''],
      ['catch-up', spec === undefined ? '' : `${spec.catchUp.policy}, within ${spec.catchUp.windowMs / 1_000}s`],
      ['next', row.next === undefined ? '' : formatTime(row.next.due)],
      ['last', row.last === undefined ? '' : `${formatTime(row.last.at)} run ${row.last.runId}`],
      [
        'paused',
        row.paused === undefined
          ? ''
          : `${formatTime(row.paused.at)} ${row.paused.by ?? ''} ${row.paused.reason ?? ''}`,
      ],
      ['open', row.running.map(({ runId }) => runId).join(', ')],
      ['waiting', row.waiting.map(({ time }) => formatTime(time)).join(', ')],
      [
        'backfill',
        row.backfills
          .map(({ from, to, started }) => `${formatTime(from)} to ${formatTime(to)}: ${counted(started, 'run')}`)
          .join(', '),
      ],
    ];
    out.line(`${out.c.bold('schedule')} ${row.workflow}/${row.schedule}`);
    for (const [name, value] of facts) if (value !== '') out.line(`  ${out.c.dim(name.padEnd(9))} ${value}`);
    out.line('');
    for (const { at, type, ...rest } of history) {
      if (type !== 'NextSet' && type !== 'NextCleared')
        out.line(`  ${formatTime(at)}  ${type} ${oneLine(JSON.stringify(rest), 90)}`);
    }
  });
}

function specOf({ ref, spec }: FoundSchedule): ScheduleDefinition {
  if (spec !== undefined) return spec;
  throw new MillraceError('MR_SCHEDULE_STATE', `schedule ${ref.workflow}/${ref.line} was removed`, {
    hint: 'describe it in a manifest and apply it again',
  });
}

async function pause(ctx: CliContext, text: string, options: { readonly reason?: string }): Promise<void> {
  const found = await findSchedule(ctx, text);
  specOf(found);
  const { reason } = options;
  const entry = await send(ctx, found.ref, {
    v: 1,
    kind: 'pause',
    by: ctx.by,
    ...(reason === undefined ? {} : { reason }),
  });
  ctx.out.result({ ...found.ref, paused: entry?.after.paused ?? found.state?.paused ?? null }, () =>
    ctx.out.line('paused'),
  );
}

async function resume(ctx: CliContext, text: string): Promise<void> {
  const found = await findSchedule(ctx, text);
  if (specOf(found).paused === true) {
    throw new MillraceError('MR_SCHEDULE_STATE', `schedule ${text} is paused by its manifest`, {
      hint: 'take `paused: true` out of the manifest and apply it',
    });
  }
  const entry = await send(ctx, found.ref, { v: 1, kind: 'resume', by: ctx.by });
  const next = (entry?.after ?? found.state)?.next;
  ctx.out.result({ ...found.ref, next: next ?? null }, () =>
    ctx.out.line(next === undefined ? 'resumed; it has no time left' : `resumed; next at ${formatTime(next.due)}`),
  );
}

async function trigger(ctx: CliContext, text: string, options: { readonly overlap?: OverlapPolicy }): Promise<void> {
  const found = await findSchedule(ctx, text);
  specOf(found);
  const id = ctx.newId();
  const { overlap } = options;
  const entry = await send(ctx, found.ref, {
    ...{ v: 1, kind: 'trigger', id, by: ctx.by },
    ...(overlap === undefined ? {} : { overlap }),
  });
  const what = entry?.transitions.find(
    (t) =>
      ((t.type === 'RunFired' || t.type === 'RunBuffered') && t.start.why === 'trigger') ||
      (t.type === 'RunSkipped' && t.why === 'trigger'),
  );
  const runId = what === undefined ? null : 'start' in what ? what.start.runId : 'runId' in what ? what.runId : null;
  const outcome =
    what === undefined
      ? 'asked'
      : { RunFired: 'started', RunBuffered: 'waits', RunSkipped: 'skipped' }[what.type as 'RunFired'];
  const reason = what?.type === 'RunSkipped' ? what.reason : undefined;
  ctx.out.result({ ...found.ref, outcome, runId, ...(reason === undefined ? {} : { reason }) }, () => {
    ctx.out.line(reason === undefined ? `${outcome}${runId === null ? '' : ` ${runId}`}` : `skipped: ${reason}`);
  });
}

async function next(ctx: CliContext, text: string, count: number): Promise<void> {
  const found = await findSchedule(ctx, text);
  const spec = specOf(found);
  const times: { time: number; due: number }[] = [];
  for (let time = nextTime(spec, ctx.now()); time !== undefined && times.length < count; time = nextTime(spec, time)) {
    times.push({ time, due: dueTime(found.ref.workflow, spec, time) });
  }
  ctx.out.result(times, () => {
    if (times.length === 0) return ctx.out.line('no time is left');
    const local = (time: number): string =>
      new Date(time).toLocaleString('sv-SE', { timeZone: spec.timeZone ?? 'UTC', timeZoneName: 'short' });
    ctx.out.table(
      ['TIME', 'IN ITS ZONE', 'DUE'],
      times.map(({ time, due }) => [formatTime(time), local(time), formatTime(due)]),
    );
  });
}

const overlapOption = (): Option =>
  new Option('--overlap <policy>', "instead of the schedule's own policy").choices(OVERLAPS);

/** A whole number as an argument. */
function countOf(text: string): number {
  const value = wholeNumber(1)(text);
  if (value <= 1_000) return value;
  throw new InvalidArgumentError('It must be at most 1000.');
}

export function register(program: Command, ctx: CliContext): void {
  const group = program
    .command('schedules')
    .description('what starts runs at times: look, pause, start by hand, backfill');
  group
    .command('list')
    .alias('ls')
    .description('list schedules: when each is due next, what is open and what waits')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ millrace schedules list\n  $ millrace schedules list --json | jq \'.[] | select(.status == "late")\'',
    )
    .action((options: { workflow?: string }) => list(ctx, options));
  group
    .command('show')
    .description('show one schedule with what it did lately')
    .argument('<schedule>', '<workflow>/<schedule>, or its name where only one has it')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace schedules show report/nightly')
    .action((text: string) => show(ctx, text));
  group
    .command('pause')
    .description('start nothing until it is resumed; what passes meanwhile is not caught up')
    .argument('<schedule>', '<workflow>/<schedule>, or its name')
    .option('-r, --reason <text>', 'why, for the history')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace schedules pause report/nightly --reason "source is down"')
    .action((text: string, options: { reason?: string }) => pause(ctx, text, options));
  group
    .command('resume')
    .description('go on from now')
    .argument('<schedule>', '<workflow>/<schedule>, or its name')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace schedules resume report/nightly')
    .action((text: string) => resume(ctx, text));
  group
    .command('trigger')
    .description('start a run of it now, as if it were due')
    .argument('<schedule>', '<workflow>/<schedule>, or its name')
    .addOption(overlapOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace schedules trigger report/nightly --overlap allow')
    .action((text: string, options: { overlap?: OverlapPolicy }) => trigger(ctx, text, options));
  registerBackfill(group, ctx);
  group
    .command('next')
    .description('print the next times')
    .argument('<schedule>', '<workflow>/<schedule>, or its name')
    .argument('[n]', 'how many', countOf, 10)
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace schedules next report/nightly 5')
    .action((text: string, n: number) => next(ctx, text, n));
}
