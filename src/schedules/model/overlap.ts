/** What becomes of a start: at once, after what is open, or not at all. */

import type { OverlapPolicy } from '../../engine/index.ts';
import { unreachable } from '../../kernel/index.ts';
import type { LineDraft } from './draft.ts';
import type { LineStart } from './line.ts';

/** Starts that may wait; each is part of every entry meanwhile. */
export const MOST_WAITING = 1_000;

/** Asks the open runs to end, has the start wait for that, and lets go of those that waited before it. */
function replace(draft: LineDraft, start: LineStart, kill: boolean): void {
  for (const one of draft.state.waiting) draft.skip(one, `replaced by ${start.runId}`);
  for (const { runId, stop } of draft.state.running) {
    if (stop === 'kill' || (stop === 'cancel' && !kill)) continue;
    draft.emit({ type: 'StopAsked', runId, kill, reason: `replaced by run ${start.runId}` });
  }
  draft.emit({ type: 'RunBuffered', start });
}

/** Carries the policy out. */
export function admit(draft: LineDraft, start: LineStart, policy: OverlapPolicy): void {
  const { running, waiting } = draft.state;
  if (policy === 'allow') return draft.fire(start, false);
  if (running.length === 0 && waiting.length === 0) return draft.fire(start, true);
  const open = running[0] === undefined ? `${waiting.length} wait` : `run ${running[0].runId} is open`;
  switch (policy) {
    case 'skip':
      return draft.skip(start, open);
    case 'bufferOne':
      return waiting.length === 0
        ? draft.emit({ type: 'RunBuffered', start })
        : draft.skip(start, `${open}, one waits`);
    case 'bufferAll':
      return waiting.length < MOST_WAITING
        ? draft.emit({ type: 'RunBuffered', start })
        : draft.skip(start, `${open}, ${MOST_WAITING} wait`);
    case 'cancelRunning':
      return replace(draft, start, false);
    case 'terminateRunning':
      return replace(draft, start, true);
    default:
      return unreachable(policy);
  }
}
