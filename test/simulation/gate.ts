/**
 * Every await of a controller is a gate that the simulation opens, one at a time and in any order: so any interleaving of
 * controllers can happen, and a controller can be killed between any two of its awaits.
 */

import type { Journal } from '../../src/engine/index.ts';
import type { DefinitionLookup } from '../../src/engine/run/ports.ts';
import { MillraceError } from '../../src/kernel/index.ts';

/** `last`: the call still happens, but its caller dies before it hears the answer. */
type Pass = 'go' | 'last';

interface Waiting {
  readonly client: string;
  readonly what: string;
  readonly open: (pass: Pass) => void;
}

const NEVER = new Promise<never>(() => {});

export class Gate {
  waiting: Waiting[] = [];
  /** How many gates were opened so far. */
  opened = 0;
  readonly #killer: (client: string) => void;

  constructor(killer: (client: string) => void) {
    this.#killer = killer;
  }

  /** Waits for its turn, then makes the call. */
  async through<T>(client: string, what: string, call: () => Promise<T>): Promise<T> {
    const pass = await new Promise<Pass>((open) => this.waiting.push({ client, what, open }));
    if (pass === 'go') return call();
    await call();
    this.#killer(client);
    return NEVER;
  }

  open(which: Waiting, pass: Pass = 'go'): void {
    this.opened++;
    this.waiting = this.waiting.filter((one) => one !== which);
    which.open(pass);
  }

  /** What a killed client waits for never comes. */
  kill(client: string): void {
    this.waiting = this.waiting.filter((one) => one.client !== client);
  }
}

/** The journal as a controller sees it: each call waits at the gate. */
export function gatedJournal(journal: Journal, gate: Gate, client: string): Journal {
  const through = <T>(what: string, call: () => Promise<T>): Promise<T> => gate.through(client, what, call);
  return {
    entries: (run, after) => through('entries', () => journal.entries(run, after)),
    append: (run, entry, last) => through('append', () => journal.append(run, entry, last)),
    inputsBetween: (run, after, before) => through('inputs', () => journal.inputsBetween(run, after, before)),
    send: (run, body, options) => through('send', () => journal.send(run, body, options)),
    trim: (run, before, inputs) => through('trim', () => journal.trim(run, before, inputs)),
    consume: (workflow, handle, options) => journal.consume(workflow, handle, options),
    runIds: (workflow) => journal.runIds(workflow),
  };
}

export function gatedDefinitions(
  lookup: DefinitionLookup,
  gate: Gate,
  client: string,
  fails: () => boolean,
): DefinitionLookup {
  const through = <T>(call: () => Promise<T>): Promise<T> =>
    gate.through(client, 'definition', async () => {
      if (fails()) throw new MillraceError('MR_NATS', 'the definitions bucket is away', { hint: 'a simulated fault' });
      return call();
    });
  return {
    current: (workflow) => through(() => lookup.current(workflow)),
    byDigest: (workflow, digest) => through(() => lookup.byDigest(workflow, digest)),
  };
}
