/** Sends an input to a schedule and waits until a controller has decided on it. */
import type { LineInputBody, LineRef, StoredLineEntry } from '../../schedules/index.ts';
import type { CliContext } from '../context.ts';

const PATIENCE_MS = 5_000;
const LOOK_MS = 100;

/**
 * What became of the input; undefined when nothing did (it changed nothing), or when no controller was there to decide: the
 * input is stored, and what it means happens as soon as one is.
 * @throws MillraceError MR_NATS
 */
export async function send(ctx: CliContext, ref: LineRef, body: LineInputBody): Promise<StoredLineEntry | undefined> {
  const lines = await ctx.lines();
  const { seq } = await lines.send(ref, body, `cli:${ctx.newId()}`);
  for (const until = ctx.now() + PATIENCE_MS; ctx.now() < until; ) {
    const entry = await lines.causedBy(ref, seq);
    if (entry !== undefined) return entry;
    if (await lines.isHandled(seq)) return lines.causedBy(ref, seq);
    await ctx.sleep(LOOK_MS);
  }
  ctx.out.note('no controller has taken it up yet; it waits for one');
  return undefined;
}
