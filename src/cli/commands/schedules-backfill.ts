/** `millrace schedules backfill`: runs of past times. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { MillraceError } from '../../kernel/index.ts';
import { BACKFILL_OVERLAPS, type BackfillOverlap, type LineState } from '../../schedules/index.ts';
import type { CliContext } from '../context.ts';
import { findSchedule } from '../find-schedule.ts';
import { counted, formatTime } from '../format-time.ts';
import { jsonOption } from '../options.ts';
import { send } from './schedules-send.ts';

interface BackfillOptions {
  readonly from: number;
  readonly to: number;
  readonly overlap: BackfillOverlap;
  readonly wait: boolean;
}

const LOOK_MS = 500;

function timeOf(text: string): number {
  const time = Date.parse(text);
  if (!Number.isNaN(time) && /^\d{4}-\d\d-\d\d(T.*(Z|[+-]\d\d:\d\d))?$/.test(text)) return time;
  throw new InvalidArgumentError('Write a day (2026-03-01) or a time with its offset (2026-03-01T06:00:00Z).');
}

const sameRange = (state: LineState | undefined, { from, overlap }: BackfillOptions) =>
  state?.backfills.find((one) => one.from === from && one.overlap === overlap);

async function backfill(ctx: CliContext, text: string, options: BackfillOptions): Promise<void> {
  const { from, to, overlap } = options;
  if (to < from)
    throw new MillraceError('MR_USAGE', '--to lies before --from', { hint: 'the range includes both ends' });
  const { ref, spec, state } = await findSchedule(ctx, text);
  if (spec === undefined || state === undefined) {
    throw new MillraceError('MR_SCHEDULE_STATE', `no controller knows schedule ${text} yet, or it was removed`, {
      hint: 'see that a controller runs, and that a manifest describes the schedule',
    });
  }
  // The same range again is the one that is under way: what was interrupted is watched, not begun anew.
  const known = sameRange(state, options);
  const id = known?.id ?? ctx.newId();
  if (known === undefined) await send(ctx, ref, { v: 1, kind: 'backfill', id, from, to, overlap, by: ctx.by });
  const lines = await ctx.lines();
  const progress = ctx.out.progress(`backfill ${ref.line}`);
  let started = known?.started ?? 0;
  let done = false;
  while (options.wait && !done && !ctx.signal.aborted) {
    const now = (await lines.last(ref))?.after;
    const mine = now?.backfills.find((one) => one.id === id);
    done = mine === undefined && now?.seen.includes(id) === true;
    if (mine !== undefined) {
      started = mine.started;
      progress.tick(Math.max(0, mine.cursor - from), Math.max(1, mine.to - from));
    }
    if (!done) await ctx.sleep(LOOK_MS).catch(() => undefined);
  }
  progress.end();
  if (done)
    started = (await lines.entries(ref))
      .flatMap(({ transitions }) => transitions)
      .filter((t) => t.type === 'RunFired' && t.start.of === id).length;
  ctx.out.result({ ...ref, id, from, to, overlap, done, started }, () => {
    const range = `${formatTime(from)} to ${formatTime(to)}`;
    ctx.out.line(
      done ? `${range}: ${counted(started, 'run')} started` : `${range} is under way; it goes on without this command`,
    );
    if (!done)
      ctx.out.note(`see \`millrace schedules show ${ref.workflow}/${ref.line}\`, or give the same command again`);
  });
}

export function registerBackfill(group: Command, ctx: CliContext): void {
  group
    .command('backfill')
    .description('run its times of a past range; a time that was run is not run again')
    .argument('<schedule>', '<workflow>/<schedule>, or its name')
    .requiredOption('--from <time>', 'first time: a day, or a time with its offset', timeOf)
    .requiredOption('--to <time>', 'last time', timeOf)
    .addOption(
      new Option('--overlap <policy>', 'one after another (bufferAll), or up to 20 at once (allow)')
        .choices(BACKFILL_OVERLAPS)
        .default('bufferAll'),
    )
    .option('--no-wait', 'do not stay to watch')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Controllers do the work: interrupting this command does not stop it, and the same command again watches it.
Examples:
  $ millrace schedules backfill report/nightly --from 2026-01-01 --to 2026-01-31 --overlap allow`,
    )
    .action((text: string, options: BackfillOptions) => backfill(ctx, text, options));
}
