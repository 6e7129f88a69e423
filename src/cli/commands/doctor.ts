/** `millrace doctor`: looks at every part, says what each finding means and what to do about it. */
import type { Command } from 'commander';
import type { Definition } from '../../engine/index.ts';
import type { CliContext } from '../context.ts';
import { type Finding, failure, type Level } from '../doctor/finding.ts';
import { judgeAssets, judgeConsumers, judgeServer } from '../doctor/judge-nats.ts';
import { judgePrefect, judgeRedis, noPrefect, noRedis } from '../doctor/judge-parts.ts';
import { judgeSchedules } from '../doctor/judge-schedules.ts';
import { lookAtJaeger, lookAtOtlp, lookAtPrefect } from '../doctor/look.http.ts';
import { lookAtNats } from '../doctor/look.jetstream.ts';
import { lookAtRedis } from '../doctor/look.redis.ts';
import { EXIT } from '../format-error.ts';
import { formatStatus } from '../format-status.ts';
import { counted } from '../format-time.ts';
import { jsonOption } from '../options.ts';

interface NatsLook {
  readonly findings: readonly Finding[];
  /** undefined when NATS could not be asked. */
  readonly definitions?: readonly Definition[];
}

async function nats(ctx: CliContext): Promise<NatsLook> {
  try {
    const facts = await lookAtNats(await ctx.door(), await ctx.definitions(), ctx.settings().natsMonitorUrl);
    const lines = (await (await ctx.lines()).list()).map(({ after }) => after);
    const schedules = judgeSchedules(lines, ctx.now());
    return {
      findings: [...judgeServer(facts), ...judgeAssets(facts), ...judgeConsumers(facts), ...schedules],
      definitions: facts.definitions,
    };
  } catch (error) {
    return { findings: [failure('nats', error, 'without NATS nothing runs, and nothing else of it can be looked at')] };
  }
}

async function redis(ctx: CliContext): Promise<readonly Finding[]> {
  const { redisUrl } = ctx.settings();
  if (redisUrl === undefined) return [noRedis()];
  try {
    return judgeRedis(await lookAtRedis(redisUrl));
  } catch (error) {
    return [failure('redis', error, 'hints are lost: Prefect steps wait for the sweep')];
  }
}

async function prefect(ctx: CliContext, definitions: readonly Definition[]): Promise<readonly Finding[]> {
  const { prefectUrl } = ctx.settings();
  const needed = definitions.filter(({ steps }) => steps.some(({ action }) => action.kind === 'prefect'));
  if (prefectUrl === undefined) return [noPrefect(needed.map(({ name }) => name))];
  try {
    return judgePrefect(await lookAtPrefect(await ctx.prefect(), prefectUrl, definitions));
  } catch (error) {
    return [failure('prefect', error, 'Prefect steps wait until it is back; everything else goes on')];
  }
}

function print(ctx: CliContext, findings: readonly Finding[]): void {
  const { out } = ctx;
  const { c } = out;
  let part = '';
  for (const finding of findings) {
    if (finding.part !== part) out.line(`${part === '' ? '' : '\n'}${c.bold(finding.part)}`);
    part = finding.part;
    out.line(`  ${formatStatus(finding.level, c)}${' '.repeat(4 - finding.level.length)}  ${finding.found}`);
    if (finding.means !== undefined) out.line(`        ${c.dim(finding.means)}`);
    if (finding.todo !== undefined) out.line(`        ${c.dim('to do:')} ${finding.todo}`);
  }
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  out.line(`\n${count('ok')} ok, ${counted(count('warn'), 'warning')}, ${counted(count('fail'), 'failure')}`);
}

async function doctor(ctx: CliContext): Promise<void> {
  const { otlpUrl, jaegerUrl } = ctx.settings(); // a wrong setting ends here, as MR_CONFIG
  const [server, queue, otlp, jaeger] = await Promise.all([
    nats(ctx),
    redis(ctx),
    lookAtOtlp(otlpUrl),
    lookAtJaeger(jaegerUrl),
  ]);
  const flows = await prefect(ctx, server.definitions ?? []);
  const findings = [...server.findings, ...queue, ...flows, otlp, ...jaeger];
  const failed = findings.some(({ level }) => level === 'fail');
  ctx.out.result({ ok: !failed, findings }, () => print(ctx, findings));
  if (failed) ctx.exit(EXIT.failed);
}

export function register(program: Command, ctx: CliContext): void {
  program
    .command('doctor')
    .description('look at every part and say what is wrong, what it means and what to do')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExit code 1 when something failed; warnings do not count.\nExamples:\n  $ millrace doctor\n  $ millrace doctor --json | jq \'.findings[] | select(.level != "ok")\'',
    )
    .action(() => doctor(ctx));
}
