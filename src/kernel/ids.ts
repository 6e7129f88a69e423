/**
 * Identifiers that any process can compute again from what it already knows, so that nobody has to ask.
 * Hashing is a pure function; nothing here reads a clock or a random source.
 */
import { hash } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'; // Crockford base 32: no letters that read as digits

// The whole text in one call: a third of what a hash object costs, and ids are hashed for every message.
function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/** The first `length` hex digits of the text's SHA-256. */
export function shortHash(text: string, length = 16): string {
  return hash('sha256', text, 'hex').slice(0, length);
}

/** A short, case-free id of 16 base-32 characters (80 bits) derived from its parts. */
export function derivedId(...parts: readonly (string | number)[]): string {
  const bytes = sha256(parts.join('\u0000'));
  let id = '';
  for (let i = 0; i < 16; i++) id += ALPHABET[(bytes[i] ?? 0) % 32];
  return id;
}

/** The run that a stored message starts: the same message always starts the same run. */
export function runIdOf(workflow: string, trigger: string, stream: string, sequence: number): string {
  return derivedId('run', workflow, trigger, stream, sequence);
}

/** The run of an explicit idempotency key. */
export function runIdOfKey(workflow: string, key: string): string {
  return derivedId('key', workflow, key);
}

/** The run of a schedule's time (ms since the epoch): the same time is the same run, whoever starts it and how often. */
export function runIdOfTime(workflow: string, schedule: string, time: number): string {
  return derivedId('schedule', workflow, schedule, time);
}

/** 128-bit trace id of a run whose starting message carried none (32 hex digits, never all zero). */
export function traceIdOfRun(runId: string): string {
  return shortHash(`trace/${runId}`, 32);
}

/** 64-bit span id (16 hex digits) of a named part of a run, e.g. `run`, `step/compute/1`. */
export function spanIdOf(runId: string, part: string): string {
  return shortHash(`span/${runId}/${part}`, 16);
}

/** A number in [0, 1) that depends only on its parts: jitter that replays the same. */
export function derivedFraction(...parts: readonly (string | number)[]): number {
  return sha256(parts.join('\u0000')).readUInt32BE(0) / 0x1_0000_0000;
}
