/** `millrace limits …`: who holds a slot, who waits, and the emergency exit. */
import type { Command } from 'commander';
import { limitKeyToken, MillraceError } from '../../kernel/index.ts';
import { foldLimit, type LimitRef, type LimitState, nameOf } from '../../limits/index.ts';
import type { CliContext } from '../context.ts';
import { formatTime } from '../format-time.ts';
import { jsonOption } from '../options.ts';

async function states(ctx: CliContext, limit?: string): Promise<readonly LimitState[]> {
  const limits = await ctx.limits();
  const refs = (await limits.refs()).filter((ref) => limit === undefined || ref.limit === limit);
  const found: LimitState[] = [];
  for (const ref of refs.sort(byName)) found.push(foldLimit(ref.limit, await limits.entries(ref)));
  return found;
}

function byName(a: LimitRef, b: LimitRef): number {
  if (a.limit !== b.limit) return a.limit < b.limit ? -1 : 1;
  return a.token < b.token ? -1 : 1;
}

/** What of the rate is left at the moment. */
function rateOf({ policy: { rate }, grants }: LimitState, now: number) {
  if (rate === undefined) return undefined;
  const used = grants.filter((at) => at + rate.perMs > now).length;
  return { ...rate, left: Math.max(0, rate.limit - used) };
}

function data(state: LimitState, now: number) {
  const { limit, key, policy, held, waiting, gathered } = state;
  const rate = rateOf(state, now);
  const row = ({ holder, priority, since }: LimitState['waiting'][number]) => ({ ...holder, priority, since });
  return {
    ...{ limit, key },
    ...(policy.slots === undefined ? {} : { slots: policy.slots }),
    onFull: policy.onFull,
    ...(rate === undefined ? {} : { rate }),
    ...(gathered === undefined ? {} : { gathered: gathered.items.length }),
    held: held.map((one) => ({
      ...row(one),
      token: one.token,
      grantedAt: one.grantedAt,
      revoked: one.revoked === true,
    })),
    waiting: waiting.map(row),
  };
}

async function list(ctx: CliContext): Promise<void> {
  const { out } = ctx;
  const now = ctx.now();
  const rows = (await states(ctx)).map((state) => data(state, now));
  out.result(rows, () => {
    if (rows.length === 0) return out.line('no limits: nobody has asked one, or all are idle');
    out.table(
      ['LIMIT', 'KEY', 'SLOTS', 'HELD', 'WAITING', 'RATE LEFT', 'GATHERED', 'WAITING SINCE'],
      rows.map(({ limit, key, slots, held, waiting, rate, gathered }) => {
        const oldest = Math.min(...waiting.map(({ since }) => since));
        return [
          ...[limit, key, `${slots ?? ''}`, `${held.length}`, `${waiting.length}`],
          rate === undefined ? '' : `${rate.left} of ${rate.limit}`,
          `${gathered ?? ''}`,
          waiting.length === 0 ? '' : formatTime(oldest),
        ];
      }),
    );
  });
}

async function one(ctx: CliContext, limit: string, key: string): Promise<LimitState> {
  const found = (await states(ctx, limit)).find((state) => state.key === key);
  if (found !== undefined) return found;
  const of = key === '' ? limit : `${limit} (${key})`;
  throw new MillraceError('MR_INPUT_INVALID', `nobody holds or waits for ${of}`, {
    hint: 'list what is in use with `millrace limits list`; a key is given with --key',
  });
}

async function show(ctx: CliContext, limit: string, { key = '' }: { readonly key?: string }): Promise<void> {
  const { out } = ctx;
  const row = data(await one(ctx, limit, key), ctx.now());
  out.result(row, () => {
    out.line(`${out.c.bold(limit)}${key === '' ? '' : ` ${key}`}`);
    const { slots, rate, onFull, held, waiting, gathered } = row;
    if (slots !== undefined) out.line(`  slots     ${held.length} of ${slots} held, when full: ${onFull}`);
    if (rate !== undefined) out.line(`  rate      ${rate.left} of ${rate.limit} left, per ${rate.perMs} ms`);
    if (gathered !== undefined) out.line(`  gathered  ${gathered}`);
    if (held.length > 0) {
      const rows = held.map((one) => [
        nameOf(one),
        formatTime(one.grantedAt),
        `${one.token}`,
        one.revoked ? 'is to end' : '',
      ]);
      out.line('');
      out.table(['HELD BY', 'SINCE', 'TOKEN', ''], rows);
    }
    if (waiting.length > 0) {
      out.line('');
      out.table(
        ['WAITS', 'SINCE', 'PRIORITY'],
        waiting.map((one) => [nameOf(one), formatTime(one.since), `${one.priority}`]),
      );
    }
  });
}

interface ReleaseOptions {
  readonly holder: string;
  readonly key?: string;
}

async function release(ctx: CliContext, limit: string, { holder: name, key = '' }: ReleaseOptions): Promise<void> {
  const { out } = ctx;
  const state = await one(ctx, limit, key);
  const found = state.held.find(({ holder }) => nameOf(holder) === name);
  if (found === undefined) {
    throw new MillraceError('MR_INPUT_INVALID', `${name} holds no slot of ${limit}`, {
      hint: `write <workflow>/<run> or <workflow>/<run>/<step> as \`millrace limits show ${limit}\` does`,
    });
  }
  const { holder, ask } = found;
  const ref = { limit, token: limitKeyToken(limit, key) };
  await (await ctx.limits()).ask(ref, { v: 1, kind: 'free', holder, ask, why: 'released', by: ctx.by }, ctx.newId());
  out.result({ limit, key, holder, ask }, () => {
    out.line(`${name} gives back its slot of ${limit}`);
    out.note('the run itself goes on; cancel it with `millrace runs cancel` if it must not');
  });
}

export function register(program: Command, ctx: CliContext): void {
  const limits = program.command('limits').description('slots, rates and what triggers gather: who holds, who waits');
  limits
    .command('list')
    .description('all keys of limits that are in use')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ millrace limits list --json')
    .action(() => list(ctx));
  limits
    .command('show')
    .description('who holds a slot of a limit since when, and who waits, in the order of their turns')
    .argument('<limit>', 'for example workflow:orders, shared:warehouse, queue:gpu, rate:orders')
    .option('--key <key>', 'the key, where the limit has one')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ millrace limits show workflow:orders --key eu')
    .action((limit: string, options: { readonly key?: string }) => show(ctx, limit, options));
  limits
    .command('release')
    .description('take a slot away from its holder; for emergencies, since the holder is not stopped')
    .argument('<limit>', 'the limit, as `limits list` shows it')
    .requiredOption('--holder <holder>', '<workflow>/<run>, or <workflow>/<run>/<step> for an attempt')
    .option('--key <key>', 'the key, where the limit has one')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ millrace limits release queue:gpu --holder train/7k2p/fit')
    .action((limit: string, options: ReleaseOptions) => release(ctx, limit, options));
}
