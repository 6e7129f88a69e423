/** A plan for people. Pure. */
import type { Json } from '../kernel/index.ts';
import type { FieldChange } from './diff.ts';
import { durationText } from './duration-text.ts';
import type { Action, Plan } from './plan.ts';

const NANOS = new Set(['max_age', 'duplicate_window', 'ack_wait']);
const MAX_SHOWN = 80;

const SIGNS = {
  'create-stream': ['+', 'stream'],
  'update-stream': ['~', 'stream'],
  'create-consumer': ['+', 'consumer'],
  'update-consumer': ['~', 'consumer'],
  'create-bucket': ['+', 'bucket'],
  'put-definition': ['+', 'workflow'],
  'delete-consumer': ['-', 'consumer'],
  'remove-definition': ['-', 'workflow'],
} as const satisfies Record<Action['kind'], readonly ['+' | '~' | '-', string]>;

/** `+` comes, `~` changes, `-` goes. */
export function signOf(action: Action): '+' | '~' | '-' {
  return action.kind === 'put-definition' && action.diff.length > 0 ? '~' : SIGNS[action.kind][0];
}

function show(field: string, value: Json): string {
  if (value === null) return '(none)';
  if (NANOS.has(field)) return value === 0 ? 'for ever' : durationText(Number(value) / 1e6);
  if (field.endsWith('Ms')) return durationText(Number(value));
  if (field === 'max_bytes' && Number(value) < 0) return 'unlimited';
  const text = JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function changeLine({ field, from, to }: FieldChange): string {
  return `      ${field}: ${show(field, from)} → ${show(field, to)}`;
}

/** One action as a line: `+ stream FLIGHTS`. */
export function formatAction(action: Action): string {
  return `${signOf(action)} ${SIGNS[action.kind][1].padEnd(8)} ${action.name}`;
}

/** `2 to add, 1 to change, 0 to remove`; once done, `2 added, 1 changed, 0 removed`. */
export function countActions(actions: readonly Action[], done = false): string {
  const count = (sign: string): number => actions.filter((action) => signOf(action) === sign).length;
  const [add, change, remove] = done ? ['added', 'changed', 'removed'] : ['to add', 'to change', 'to remove'];
  return `${count('+')} ${add}, ${count('~')} ${change}, ${count('-')} ${remove}`;
}

/** The whole plan: actions with what changes in each, drift, then the counts. Problems are printed by the caller. */
export function formatPlan(plan: Plan): string {
  const lines: string[] = [];
  for (const action of plan.actions) {
    const notes = 'notes' in action ? (action.notes ?? []) : [];
    // What changes in schedules is said in words.
    const diff = notes.length === 0 ? action.diff : action.diff.filter(({ field }) => !field.startsWith('schedules'));
    lines.push(`  ${formatAction(action)}`, ...diff.map(changeLine), ...notes.map((note) => `      ${note}`));
  }
  if (plan.drift.length > 0) {
    if (lines.length > 0) lines.push('');
    lines.push('Not in manifests:');
    for (const { kind, name, note } of plan.drift) lines.push(`  ? ${kind.padEnd(10)} ${name}: ${note}`);
  }
  if (lines.length > 0) lines.push('');
  lines.push(
    plan.actions.length === 0 ? 'No changes: the live system is as described.' : `Plan: ${countActions(plan.actions)}.`,
  );
  return lines.join('\n');
}
