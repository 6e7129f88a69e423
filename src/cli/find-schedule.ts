/** Which schedule a text means. */
import type { Definition, ScheduleDefinition } from '../engine/index.ts';
import { MillraceError } from '../kernel/index.ts';
import type { LineRef, LineState } from '../schedules/index.ts';
import type { CliContext } from './context.ts';
import { oneLine } from './format-time.ts';

export interface FoundSchedule {
  readonly ref: LineRef;
  /** None once no definition describes it. */
  readonly spec: ScheduleDefinition | undefined;
  /** None before a controller has seen it. */
  readonly state: LineState | undefined;
}

/** Every schedule that is described, or was and is still known. */
export async function findSchedules(ctx: CliContext, workflow?: string): Promise<readonly FoundSchedule[]> {
  const definitions = await (await ctx.definitions()).list();
  const entries = await (await ctx.lines()).list(workflow);
  const states = new Map(
    entries
      .filter(({ after }) => !after.line.startsWith('='))
      .map(({ after }) => [`${after.workflow}/${after.line}`, after]),
  );
  const described = definitions
    .filter(({ name }: Definition) => workflow === undefined || name === workflow)
    .flatMap(({ name, schedules = [] }: Definition) =>
      schedules.map((spec): FoundSchedule => {
        const key = `${name}/${spec.name}`;
        const state = states.get(key);
        states.delete(key);
        return { ref: { workflow: name, line: spec.name }, spec, state };
      }),
    );
  const left = [...states.values()].filter(({ running }) => running.length > 0);
  return [...described, ...left.map((state): FoundSchedule => ({ ref: state, spec: undefined, state }))];
}

/**
 * The one schedule that `<workflow>/<schedule>` or `<schedule>` means.
 * @throws MillraceError MR_SCHEDULE_MISSING, MR_USAGE
 */
export async function findSchedule(ctx: CliContext, text: string): Promise<FoundSchedule> {
  const all = await findSchedules(ctx);
  const found = all.filter(({ ref }) => text === ref.line || text === `${ref.workflow}/${ref.line}`);
  const [one, other] = found;
  if (one === undefined) {
    const names = all.map(({ ref }) => `${ref.workflow}/${ref.line}`);
    throw new MillraceError('MR_SCHEDULE_MISSING', `there is no schedule "${text}"`, {
      hint:
        names.length === 0 ? 'describe one in a manifest and apply it' : `there are ${oneLine(names.join(', '), 300)}`,
    });
  }
  if (other !== undefined) {
    throw new MillraceError(
      'MR_USAGE',
      `"${text}" is a schedule of ${found.map(({ ref }) => ref.workflow).join(' and ')}`,
      {
        hint: `write <workflow>/<schedule>, for example ${one.ref.workflow}/${one.ref.line}`,
      },
    );
  }
  return one;
}
