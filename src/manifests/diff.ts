/** Differences between values, field by field. Pure. */
import { canonicalJson, isObject, type Json } from '../kernel/index.ts';

export interface FieldChange {
  readonly field: string;
  /** null when it was not there. */
  readonly from: Json;
  /** null when it goes away. */
  readonly to: Json;
}

export const same = (a: Json, b: Json): boolean => canonicalJson(a) === canonicalJson(b);

/** Lists of things with names (steps, triggers) are compared by name; their order is no difference of its own. */
function byName(list: readonly Json[]): Record<string, Json> | undefined {
  const named: Record<string, Json> = {};
  for (const item of list) {
    const name = isObject(item) ? item['name'] : undefined;
    if (typeof name !== 'string') return undefined;
    named[name] = item;
  }
  return named;
}

function members(value: Json): Record<string, Json> | undefined {
  if (Array.isArray(value)) return value.length === 0 ? undefined : byName(value);
  if (!isObject(value)) return undefined;
  const sorted = Object.entries(value as Record<string, Json>).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted); // what is read back comes in another order than what is written
}

/** What differs, as paths: `steps.compute.timeoutMs`. Equal values give nothing. */
export function diffJson(from: Json, to: Json, path = ''): readonly FieldChange[] {
  if (same(from, to)) return [];
  const before = members(from);
  const after = members(to);
  if (before === undefined || after === undefined) return [{ field: path, from, to }];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const inside = names.flatMap((name) =>
    diffJson(before[name] ?? null, after[name] ?? null, path === '' ? name : `${path}.${name}`),
  );
  const order = { field: `${path}.order`, from: Object.keys(before), to: Object.keys(after) };
  return inside.length > 0 ? inside : [order];
}
