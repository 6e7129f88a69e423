/** `millrace publish <subject> <json>`: one message onto a stream, to try a trigger. */
import type { Command } from 'commander';
import { assertPayload, openPublisher } from '../../drivers/index.ts';
import { HEADERS, MillraceError } from '../../kernel/index.ts';
import { headersOfContext } from '../../telemetry/index.ts';
import type { CliContext } from '../context.ts';
import { jsonOption, readJson } from '../options.ts';

interface PublishOptions {
  readonly header: readonly string[];
  readonly msgId?: string;
}

const SUBJECT = /^[^\s.*>]+(\.[^\s.*>]+)*$/;

function headersFrom(ctx: CliContext, options: PublishOptions): Record<string, string> {
  const headers: Record<string, string> = ctx.trace === undefined ? {} : headersOfContext(ctx.trace);
  for (const text of options.header) {
    const at = text.indexOf(':');
    const name = text.slice(0, at).trim();
    if (at < 1 || name === '') {
      throw new MillraceError('MR_USAGE', `"${text}" is no header`, { hint: "write it as --header 'name: value'" });
    }
    headers[name] = text.slice(at + 1).trim();
  }
  if (options.msgId !== undefined) headers[HEADERS.msgId] = options.msgId;
  return headers;
}

async function publish(ctx: CliContext, subject: string, argument: string, options: PublishOptions): Promise<void> {
  if (!SUBJECT.test(subject)) {
    throw new MillraceError('MR_USAGE', `"${subject}" is not a subject to publish on`, {
      hint: 'a subject is words with dots between them, without wildcards and blanks: flights.day.2001-01-03',
    });
  }
  const headers = headersFrom(ctx, options);
  const { text } = await readJson(ctx, argument, 'message');
  const { nc } = await ctx.door();
  const data = new TextEncoder().encode(text);
  assertPayload(nc, data, `the message for ${subject}`);
  const publisher = openPublisher(nc);
  const outcome = await publisher.publish(subject, data, headers);
  publisher.close();
  if (outcome.kind === 'unknown') {
    throw new MillraceError('MR_NATS', `it is not known whether the message was stored: ${outcome.reason}`, {
      hint: 'publish it again with --msg-id, so that it cannot be stored twice',
    });
  }
  if (outcome.kind === 'refused') {
    throw new MillraceError('MR_NATS', `the message was not stored: ${outcome.reason}`, {
      hint: 'a stream must listen on the subject; `millrace plan` shows those of the manifests',
      next: 'terminal',
    });
  }
  const { stream, seq, duplicate } = outcome;
  ctx.out.result({ stream, sequence: seq, duplicate }, () => {
    ctx.out.line(`stored as message ${seq} of ${stream}${duplicate ? ' (it was there before)' : ''}`);
  });
}

export function register(program: Command, ctx: CliContext): void {
  program
    .command('publish')
    .description('publish one JSON message onto a stream')
    .argument('<subject>', 'subject without wildcards')
    .argument('<json>', 'the message: JSON, @file or @- for stdin')
    .option(
      '-H, --header <header>',
      "'name: value'; may be given several times",
      (text, all: string[]) => [...all, text],
      [],
    )
    .option('--msg-id <id>', 'message id: the same id is stored once within the duplicate window')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The message joins the trace in TRACEPARENT when that is set.
Examples:
  $ millrace publish quakes.reported '{"id":"q1","mag":5.4}'
  $ millrace publish flights.day.2001-01-03 @day.json --msg-id 2001-01-03`,
    )
    .action((subject: string, json: string, options: PublishOptions) => publish(ctx, subject, json, options));
}
