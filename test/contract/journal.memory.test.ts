import { describe } from 'vitest';
import { MemoryBroker, MemoryJournal } from '../../src/engine/index.ts';
import { manualClock } from '../kit/clock.ts';
import { journalContract } from './journal.ts';

describe('journal in memory', () => {
  const clock = manualClock();
  const broker = new MemoryBroker({ clock });
  let clients = 0;
  let workflows = 0;
  journalContract(() => ({
    client: async () => new MemoryJournal(broker, `c${++clients}`),
    freshWorkflow: async () => `w${++workflows}`,
    tick: () => clock.advance(1),
  }));
});
