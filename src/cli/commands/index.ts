/** All command files, in the order of the help. Add yours here: `export function register(program, ctx)`. */
import type { Register } from '../context.ts';
import { register as apply } from './apply.ts';
import { register as completion } from './completion.ts';
import { register as controller } from './controller.ts';
import { register as deadLetters } from './dead-letters.ts';
import { register as doctor } from './doctor.ts';
import { register as events } from './events.ts';
import { register as limits } from './limits.ts';
import { register as plan } from './plan.ts';
import { register as publish } from './publish.ts';
import { register as reconcile } from './reconcile.ts';
import { register as replay } from './replay.ts';
import { register as runs } from './runs.ts';
import { register as schedules } from './schedules.ts';
import { register as validate } from './validate.ts';
import { register as versions } from './versions.ts';

export const COMMANDS: readonly Register[] = [
  validate,
  plan,
  apply,
  controller,
  runs,
  schedules,
  limits,
  versions,
  replay,
  deadLetters,
  publish,
  events,
  reconcile,
  doctor,
  completion,
];
