/** react: what follows from a limit's entry. Live and after a crash the same entry gives the same. */
import type { Holder, InputBody } from '../../engine/index.ts';
import { limitKeyToken } from '../../kernel/index.ts';
import { nameOf } from './state.ts';
import type { LimitTransition } from './transitions.ts';

export type LimitCommand =
  /** Tell a run what the limit decided. */
  | {
      readonly kind: 'tell';
      readonly holder: Holder;
      readonly body: Extract<InputBody, { kind: 'slot' | 'start' }>;
      readonly msgId: string;
    }
  | { readonly kind: 'timer'; readonly at: number };

export function reactLimit(
  limit: string,
  key: string,
  transitions: readonly LimitTransition[],
): readonly LimitCommand[] {
  const commands: LimitCommand[] = [];
  let timer: LimitCommand | undefined;
  for (const t of transitions) {
    if (t.type === 'TimerSet') timer = { kind: 'timer', at: t.at };
    if (t.type === 'TimerFired') timer = undefined;
    if (t.type === 'Flushed') {
      const { workflow, runId, start } = t;
      commands.push({ kind: 'tell', holder: { workflow, runId }, body: start, msgId: `start:${runId}` });
    }
    const told = tell(limit, key, t);
    if (told !== undefined) commands.push(told);
  }
  return timer === undefined ? commands : [...commands, timer];
}

const VERDICTS = { Granted: 'granted', Refused: 'refused', Revoked: 'revoked' } as const;

function tell(limit: string, key: string, t: LimitTransition): LimitCommand | undefined {
  if (t.type !== 'Granted' && t.type !== 'Refused' && t.type !== 'Revoked') return undefined;
  const { holder, ask } = t;
  const verdict = VERDICTS[t.type];
  const token = t.type === 'Granted' ? t.token : 0;
  const id = `slot:${limit}:${limitKeyToken(limit, key)}:${nameOf(holder)}:${ask}:${verdict}`;
  return {
    kind: 'tell',
    holder,
    msgId: t.type === 'Granted' ? `${id}:${token}` : id,
    body: {
      v: 1,
      kind: 'slot',
      slot: { limit, key, token },
      verdict,
      ask,
      ...('reason' in t ? { reason: t.reason } : {}),
      ...(holder.step === undefined ? {} : { step: holder.step }),
    },
  };
}
