/** What a trigger has gathered: see gather.ts. */
import type { InputBody, LimitMessage } from '../../engine/index.ts';

export type Collect = Extract<LimitMessage, { kind: 'collect' }>;
export type StartBody = Extract<InputBody, { kind: 'start' }>;

export interface GatheredItem {
  readonly id: string;
  readonly runId: string;
  readonly start: StartBody;
}

export interface Gathered {
  readonly workflow: string;
  readonly debounce?: { readonly waitMs: number; readonly maxMs?: number };
  readonly batch?: { readonly size: number; readonly waitMs: number };
  /** What waits to be started; of debounced messages the last one only. */
  readonly items: readonly GatheredItem[];
  readonly firstAt: number;
  readonly lastAt: number;
  /** Ids of the last messages, started ones among them: what comes again is known. */
  readonly seen: readonly string[];
}
