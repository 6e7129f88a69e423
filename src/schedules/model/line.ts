/**
 * A line: runs of one workflow that start one after another by a rule. It is a schedule, or the runs of one key that replace
 * each other (a line without times). Its inputs, its log, its state, its commands. Pure.
 */
import { z } from 'zod';
import {
  type Attributes,
  attributeSchema,
  jsonSchema,
  type RunStatus,
  type ScheduleDefinition,
  type TraceContext,
  traceSchema,
} from '../../engine/index.ts';
import type { Json } from '../../kernel/index.ts';

export interface LineRef {
  readonly workflow: string;
  /** The schedule's name, or `=<hash of the key>`. */
  readonly line: string;
}

export const OVERLAPS = ['skip', 'bufferOne', 'bufferAll', 'cancelRunning', 'terminateRunning', 'allow'] as const;
/** A backfill runs its times one after another, or many at once; a time that was run is not run again. */
export const BACKFILL_OVERLAPS = ['bufferAll', 'allow'] as const;
export type BackfillOverlap = (typeof BACKFILL_OVERLAPS)[number];

const v = z.literal(1);
const by = z.string().optional();
const time = z.number().int();

const scheduleSchema = z.object({
  name: z.string(),
  cron: z.string().optional(),
  timeZone: z.string().optional(),
  everyMs: z.number().int().positive().optional(),
  offsetMs: z.number().int().optional(),
  at: time.optional(),
  payload: jsonSchema.optional(),
  with: z.record(z.string(), z.string()).optional(),
  jitterMs: z.number().int().nonnegative().optional(),
  overlap: z.enum(OVERLAPS),
  catchUp: z.object({ policy: z.enum(['all', 'latest', 'none']), windowMs: z.number().int().nonnegative() }),
  paused: z.literal(true).optional(),
  startAt: time.optional(),
  endAt: time.optional(),
});

/** Everything that can happen to a line. */
export const lineInputSchema = z.discriminatedUnion('kind', [
  /** The schedule is now described so. */
  z.object({ v, kind: z.literal('set'), spec: scheduleSchema }),
  /** No definition describes it any more. */
  z.object({ v, kind: z.literal('remove') }),
  /** Its timer fired, which was set for `due`. */
  z.object({ v, kind: z.literal('due'), due: time }),
  /** Look at the runs that are open, and at the clock. */
  z.object({ v, kind: z.literal('look') }),
  z.object({ v, kind: z.literal('pause'), by, reason: z.string().optional() }),
  z.object({ v, kind: z.literal('resume'), by }),
  z.object({ v, kind: z.literal('trigger'), id: z.string(), by, overlap: z.enum(OVERLAPS).optional() }),
  z.object({
    v,
    kind: z.literal('backfill'),
    id: z.string(),
    from: time,
    to: time,
    overlap: z.enum(BACKFILL_OVERLAPS),
    by,
  }),
  /** A run of a key: what is open of `known` and of the line is terminated, then it begins. */
  z.object({
    v,
    kind: z.literal('replace'),
    runId: z.string(),
    known: z.array(z.string()),
    payload: jsonSchema,
    by,
    trace: traceSchema.optional(),
    attributes: z.record(z.string(), attributeSchema).optional(),
  }),
]);
export type LineInputBody = z.infer<typeof lineInputSchema>;

export interface LineInput {
  readonly seq: number;
  /** Server time of storing, ms since the epoch: the only "now" there is. */
  readonly at: number;
  readonly body: LineInputBody;
  /** Runs of the line that were seen to have ended, when the input was taken up. */
  readonly ended: readonly { readonly runId: string; readonly status: EndStatus }[];
}

/** `gone`: neither its log nor an input of it is there. */
export type EndStatus = Extract<RunStatus, 'completed' | 'failed' | 'cancelled'> | 'gone';

/** A run to start. */
export interface LineStart {
  readonly runId: string;
  /** The time it is for, ms since the epoch. */
  readonly time: number;
  /** What it is for: a time of the schedule, one by hand, a past one, a replaced one. */
  readonly why: 'time' | 'trigger' | 'backfill' | 'replace';
  /** Left out while it waits and follows from the schedule. */
  readonly payload?: Json;
  readonly by?: string;
  readonly trace?: TraceContext;
  readonly attributes?: Attributes;
  /** The backfill's id. */
  readonly of?: string;
}

export type LineTransition =
  | { readonly type: 'LineSet'; readonly spec: ScheduleDefinition }
  | { readonly type: 'LineRemoved' }
  /** `watched`: its end matters to the runs after it. */
  | { readonly type: 'RunFired'; readonly start: LineStart; readonly watched: boolean }
  | { readonly type: 'RunBuffered'; readonly start: LineStart }
  | {
      readonly type: 'RunSkipped';
      readonly time: number;
      readonly runId: string;
      readonly why: LineStart['why'];
      readonly reason: string;
      readonly of?: string;
    }
  /** Times from `from` up to `to` are let go by; the log does not count them. */
  | { readonly type: 'TimesMissed'; readonly from: number; readonly to: number; readonly reason: string }
  /** The trigger, backfill or replacing run of this id has come. */
  | { readonly type: 'IdSeen'; readonly id: string }
  /** A run that others started is open before the line's own. */
  | { readonly type: 'RunAdopted'; readonly runId: string }
  | { readonly type: 'StopAsked'; readonly runId: string; readonly kill: boolean; readonly reason: string }
  | { readonly type: 'RunEnded'; readonly runId: string; readonly status: EndStatus }
  | { readonly type: 'NextSet'; readonly time: number; readonly due: number }
  | { readonly type: 'NextCleared' }
  | { readonly type: 'LinePaused'; readonly by?: string; readonly reason?: string }
  | { readonly type: 'LineResumed'; readonly by?: string }
  | {
      readonly type: 'BackfillBegun';
      readonly id: string;
      readonly from: number;
      readonly to: number;
      readonly overlap: BackfillOverlap;
      readonly by?: string;
    }
  | { readonly type: 'BackfillEnded'; readonly id: string };

export interface LineRun {
  readonly runId: string;
  readonly time: number;
  /** When it was fired, ms since the epoch. */
  readonly at: number;
  /** It was asked to end, and how. */
  readonly stop?: 'cancel' | 'kill';
  readonly of?: string;
}

export interface Backfill {
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly overlap: BackfillOverlap;
  /** Times up to here are started. */
  readonly cursor: number;
  readonly started: number;
}

/** The fold of a line's log. Each entry of the log carries it whole, so that the last one is enough. */
export interface LineState extends LineRef {
  /** None for a key's line, and once the schedule was removed. */
  readonly spec?: ScheduleDefinition;
  /** Times up to here are dealt with. */
  readonly cursor: number;
  readonly paused?: { readonly at: number; readonly by?: string; readonly reason?: string };
  /** The timer that is set: the time it is for, and when it is due. */
  readonly next?: { readonly time: number; readonly due: number };
  /** Runs fired and not known to have ended, the oldest first. */
  readonly running: readonly LineRun[];
  /** Runs that wait for those to end, the first first. */
  readonly waiting: readonly LineStart[];
  readonly backfills: readonly Backfill[];
  /** Ids of the last triggers, backfills and replacing runs, so that one that comes twice counts once. */
  readonly seen: readonly string[];
  readonly counts: { readonly started: number; readonly skipped: number };
  readonly last?: { readonly runId: string; readonly time: number; readonly at: number };
  readonly lastInput: number;
  /** Sequence of the last entry: the next append's expected last subject sequence. */
  readonly lastEntry: number;
  /** Entries written so far. */
  readonly entries: number;
}

export interface LineEntry {
  readonly v: 1;
  readonly cause: number;
  readonly at: number;
  readonly transitions: readonly LineTransition[];
  /** The state after it, as the log's snapshot; its own sequence is the message's. */
  readonly after: LineState;
}
export interface StoredLineEntry extends LineEntry {
  readonly seq: number;
}

export type LineCommand =
  | { readonly kind: 'start'; readonly start: LineStart }
  | { readonly kind: 'stop'; readonly runId: string; readonly kill: boolean; readonly reason: string }
  | { readonly kind: 'timer'; readonly due: number }
  | { readonly kind: 'timer.clear' };

export function newLine({ workflow, line }: LineRef): LineState {
  return {
    workflow,
    line,
    cursor: 0,
    running: [],
    waiting: [],
    backfills: [],
    seen: [],
    counts: { started: 0, skipped: 0 },
    lastInput: 0,
    lastEntry: 0,
    entries: 0,
  };
}

/** Something of it starts when an open run has ended: it must be looked for. */
export const waitsForEnds = (state: LineState): boolean =>
  state.running.length > 0 && (state.waiting.length > 0 || state.backfills.length > 0);
