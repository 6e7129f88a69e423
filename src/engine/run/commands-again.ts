/**
 * Which commands of an old entry still make sense, given what the run has become. A redelivered input sends its commands
 * again; past the duplicate window a message id protects no longer, the state does. Pure.
 */
import { isOut, type RunState, stepOf, stillAsks } from '../model/index.ts';
import type { PlacedCommand } from './ports.ts';

/** @param now the run's present state */
export function stillWanted(commands: readonly PlacedCommand[], now: RunState): readonly PlacedCommand[] {
  return commands.filter(({ command }) => {
    switch (command.kind) {
      case 'child':
      case 'task': {
        const step = stepOf(now, command.step);
        return isOut(step) && step.attempt === command.attempt;
      }
      case 'timer':
        return now.timers[command.timer] === command.at; // it may have been moved
      case 'timer.cancel':
        return now.timers[command.timer] === undefined;
      case 'slot.ask':
        return stillAsks(command, now);
      default:
        return true; // hints, and messages whose receivers look at their ids
    }
  });
}

/** Drops timers that the same entry sets and cancels: setting and purging them would race for nothing. */
export function withoutMomentaryTimers(commands: readonly PlacedCommand[]): readonly PlacedCommand[] {
  const cancelled = new Map<string, number>();
  for (const { index, command } of commands) if (command.kind === 'timer.cancel') cancelled.set(command.timer, index);
  if (cancelled.size === 0) return commands;
  const momentary = new Set<string>();
  for (const { index, command } of commands) {
    if (command.kind === 'timer' && (cancelled.get(command.timer) ?? -1) > index) momentary.add(command.timer);
  }
  return commands.filter(
    ({ command }) => !((command.kind === 'timer' || command.kind === 'timer.cancel') && momentary.has(command.timer)),
  );
}
