/** Faults that a test asks for: where they strike, how often, and what then happens. Pure. */
import type { Fault, FaultPoint } from '../engine/index.ts';
import { MillraceError } from '../kernel/index.ts';

/**
 * Where a fault can strike: around each write or read of the journal (`append` of a log entry, `send` of an input, `ack` of one,
 * `read` of a log, `trim` of a continued one), around each command (a task, a timer, an event), and around the code of a step.
 */
export type PointName = `${FaultPoint['op'] | 'command' | 'step'}.${'before' | 'after'}`;

/** A place that an execution comes by. */
export interface Point {
  readonly at: PointName;
  readonly workflow: string;
  readonly runId: string;
  /** At `step`: the step's name in its run. At `command`: the command's kind. */
  readonly name?: string;
  /** At a declared `step`: the handler it calls. */
  readonly handler?: string;
  /** At `step`: from 1. */
  readonly attempt?: number;
  /** At `step`: the attempt's idempotency key. */
  readonly key?: string;
}

/** A fault to inject, see {@link TestEnvironment.inject}. */
export interface Injection {
  readonly at: PointName;
  /**
   * `crash`: the process that is there dies and is started anew. `lost`: what is written there is not written (`before`) or is
   * written and nobody is told (`after`); an acknowledgement does not arrive, so the input is delivered again. `conflict`: an
   * append finds another one there. `fail`: the code of the step throws.
   */
  readonly do: 'crash' | 'lost' | 'conflict' | 'fail';
  /** Only at points of this name: a step (`charge` is also `charge#2`), a handler, a kind of command. */
  readonly name?: string;
  /** Only at this attempt of a step. */
  readonly attempt?: number;
  /** Passes over so many points first; 0 by default. */
  readonly skip?: number;
  /** Strikes so many times; once by default. */
  readonly times?: number;
  /** What a step throws; an error that may be tried again by default. */
  readonly error?: Error;
}

interface Armed {
  readonly injection: Injection;
  skip: number;
  left: number;
}

/** The injections of an environment, and every point that was passed. */
export class Faults {
  #armed: Armed[] = [];
  /** Points passed so far, in order; kept only while someone listens. */
  readonly passed: Point[] = [];
  /** Points passed so far. */
  count = 0;

  /** @throws MillraceError MR_USAGE for a fault that cannot strike there */
  add(injection: Injection): void {
    const { at, skip = 0, times = 1 } = injection;
    const [place, when] = at.split('.');
    const possible =
      injection.do === 'crash' ||
      (injection.do === 'fail' && at === 'step.before') ||
      (injection.do === 'conflict' && at === 'append.before') ||
      (injection.do === 'lost' && place !== 'step' && !(place === 'read' && when === 'after'));
    if (!possible) {
      throw new MillraceError('MR_USAGE', `"${injection.do}" cannot be injected at ${at}`, {
        hint: 'crash strikes anywhere, fail at step.before, conflict at append.before, lost at append, send, ack, read and command',
      });
    }
    this.#armed.push({ injection, skip, left: times });
  }

  /** Forgets what has not struck yet. */
  clear(): void {
    this.#armed = [];
  }

  /** What strikes at this point. */
  strike(point: Point): Injection | undefined {
    this.count++;
    this.passed.push(point);
    for (const armed of this.#armed) {
      const { at, name, attempt } = armed.injection;
      if (at !== point.at || (name !== undefined && !isOf(point, name))) continue;
      if (attempt !== undefined && attempt !== point.attempt) continue;
      if (armed.skip-- > 0) continue;
      if (--armed.left <= 0) this.#armed = this.#armed.filter((one) => one !== armed);
      return armed.injection;
    }
    return undefined;
  }

  /** The same for the broker's own points. */
  atBroker({ op, when, run }: FaultPoint): Fault {
    const found = this.strike({ at: `${op}.${when}`, ...run });
    return found === undefined || found.do === 'fail' ? 'none' : found.do;
  }
}

function isOf({ name = '', handler }: Point, wanted: string): boolean {
  return wanted === name || wanted === handler || wanted === name.replace(/#\d+$/, '');
}
