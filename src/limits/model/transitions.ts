/** What a limit's log can say. Old logs are a contract: a field may be added as optional; a meaning may not change. */
import { z } from 'zod';
import type { Holder, LimitPolicy } from '../../engine/index.ts';
import { isObject, MillraceError } from '../../kernel/index.ts';
import type { Gathered, GatheredItem, StartBody } from './gathered.ts';
import type { Ask, LimitState } from './state.ts';

export type LimitTransition =
  /** The policy of whoever asked last holds. */
  | { readonly type: 'PolicySet'; readonly key: string; readonly policy: LimitPolicy }
  /** It waits; what it asked before, under a lower number, is over. */
  | ({ readonly type: 'Asked' } & Ask)
  | {
      readonly type: 'Granted';
      readonly holder: Holder;
      readonly ask: number;
      readonly token: number;
      readonly at: number;
    }
  /** It waits no more, and is told so. */
  | { readonly type: 'Refused'; readonly holder: Holder; readonly ask: number; readonly reason: string }
  /** It keeps its slot until it gives it back, and is told to end. */
  | { readonly type: 'Revoked'; readonly holder: Holder; readonly ask: number; readonly reason: string }
  | { readonly type: 'Freed'; readonly holder: Holder; readonly why?: 'gone' | 'released'; readonly by?: string }
  /** It took its ask back. */
  | { readonly type: 'Left'; readonly holder: Holder; readonly why?: 'gone' | 'released'; readonly by?: string }
  | {
      readonly type: 'Collected';
      readonly workflow: string;
      readonly key: string;
      readonly item: GatheredItem;
      readonly at: number;
      readonly debounce?: Gathered['debounce'];
      readonly batch?: Gathered['batch'];
    }
  /** What was gathered starts this run. */
  | {
      readonly type: 'Flushed';
      readonly workflow: string;
      readonly runId: string;
      readonly count: number;
      readonly start: StartBody;
    }
  | { readonly type: 'TimerSet'; readonly at: number }
  | { readonly type: 'TimerFired' };

/** The value of one message on `limit.log.<limit>.<key>`. */
export interface LimitEntry {
  readonly v: 1;
  /** Sequence of the last message that it takes into account. */
  readonly cause: number;
  /** That message's server time. */
  readonly at: number;
  readonly transitions: readonly LimitTransition[];
  /** The whole state after it: nothing before this entry is needed any more. */
  readonly state?: LimitState;
}

export interface StoredLimitEntry extends LimitEntry {
  readonly seq: number;
}

const entrySchema = z.object({
  v: z.literal(1),
  cause: z.number(),
  at: z.number(),
  transitions: z.array(z.looseObject({ type: z.string() })),
  state: z.looseObject({}).optional(),
});

/**
 * An entry from its message.
 * @throws MillraceError MR_JOURNAL_CORRUPT
 */
export function limitEntryOf(text: string, seq: number, subject: string): StoredLimitEntry {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isObject(value) && entrySchema.safeParse(value).success) return { ...(value as unknown as LimitEntry), seq };
  throw new MillraceError('MR_JOURNAL_CORRUPT', `entry ${seq} of ${subject} is none that this Millrace can read`, {
    hint: 'somebody else wrote to this log, or a newer Millrace did; restrict publishing on limit.log.> to controllers',
  });
}
