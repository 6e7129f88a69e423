/** Temporal with local activities: see temporal.ts for what that means. */
import type { StartSystem } from '../systems/system.ts';
import { startTemporal } from './temporal.ts';

export const start: StartSystem = (options) => startTemporal(options, 'local');
