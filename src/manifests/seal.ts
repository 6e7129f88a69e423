/**
 * The digest of a definition: what makes it immutable. Whoever reads a stored definition checks it, so a value that was
 * changed by hand is noticed before it decides anything.
 */
import type { Definition } from '../engine/index.ts';
import { canonicalJson, isObject, MillraceError, messageOf, shortHash } from '../kernel/index.ts';

/** A definition without its digest. */
export type Unsealed = Omit<Definition, 'digest'>;

/** 16 hex digits over the canonical JSON of everything but the digest. */
export function digestOf(definition: Unsealed & { readonly digest?: string }): string {
  const { digest: _, ...rest } = definition;
  return shortHash(canonicalJson(rest));
}

/** The definition with its digest. */
export function sealDefinition(definition: Unsealed): Definition {
  return { ...definition, digest: digestOf(definition) };
}

/**
 * Reads a stored definition.
 *
 * @param text JSON as stored in the bucket
 * @param key the key it was stored under, for the message
 * @throws MillraceError MR_JOURNAL_CORRUPT when it is not a definition, or not the one its digest names
 */
export function openSealed(text: string, key: string): Definition {
  const corrupt = (reason: string): MillraceError =>
    new MillraceError('MR_JOURNAL_CORRUPT', `definition "${key}": ${reason}`, {
      hint: 'something other than millrace apply wrote it; run millrace apply again to restore the current one',
      place: { path: key },
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw corrupt(messageOf(error));
  }
  if (!isDefinition(value)) throw corrupt('not a definition');
  const actual = digestOf(value);
  if (actual !== value.digest) throw corrupt(`its content has the digest ${actual}, but it says ${value.digest}`);
  return value;
}

/** The members every reader relies on; the digest vouches for the rest. */
function isDefinition(value: unknown): value is Definition {
  return (
    isObject(value) &&
    typeof value['name'] === 'string' &&
    typeof value['digest'] === 'string' &&
    Array.isArray(value['steps']) &&
    Array.isArray(value['triggers'])
  );
}
