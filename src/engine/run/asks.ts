/** What a run or an attempt says to a limit, as a message. Pure. */
import { limitInputSubject, limitKeyToken } from '../../kernel/index.ts';
import type { RunRef } from '../journal/port.ts';
import type { Command, LimitMessage } from '../model/index.ts';

export interface AskMessage {
  readonly subject: string;
  readonly msgId: string;
  readonly body: LimitMessage;
}

export function askMessage(
  { workflow, runId }: RunRef,
  command: Extract<Command, { readonly kind: 'slot.ask' | 'slot.free' }>,
): AskMessage {
  const { limit, key, ask, step } = command;
  const subject = limitInputSubject(limit, limitKeyToken(limit, key));
  const holder = { workflow, runId, ...(step === undefined ? {} : { step }) };
  const id = `${limit}:${workflow}:${runId}:${step ?? ''}:${ask}`;
  if (command.kind === 'slot.free') {
    return { subject, msgId: `free:${id}`, body: { v: 1, kind: 'free', holder, ask } };
  }
  const { policy, priority } = command;
  return { subject, msgId: `ask:${id}`, body: { v: 1, kind: 'ask', key, holder, ask, priority, policy } };
}
