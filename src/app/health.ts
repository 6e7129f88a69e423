/** What a controller's health is made of. Pure. */
import type { Check } from '../drivers/index.ts';

/**
 * Parts whose absence slows a controller without stopping it: the check stays, says `degraded`, and does not make the
 * process unready (a restart would not bring Prefect back).
 */
export function degradable(checks: readonly Check[]): readonly Check[] {
  return checks.map((check) => (check.ok ? check : { ...check, ok: true, detail: `degraded: ${check.detail}` }));
}

/** The checks of parts that are not there yet, while the process starts. */
export const starting: readonly Check[] = [{ name: 'start', ok: false, detail: 'the controller is starting' }];
