/** All command files, in the order of the help. Add yours here: `export function register(program, ctx)`. */
import type { Register } from '../program.ts';
import { register as completion } from './completion.ts';

export const COMMANDS: readonly Register[] = [completion];
