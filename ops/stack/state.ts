import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity } from '../lib/identity.ts';

export const STACK_PARTS = ['nats', 'redis', 'prefect', 'jaeger'] as const;
export type StackPart = (typeof STACK_PARTS)[number];

export interface RecordedPart extends ProcessIdentity {
  readonly url: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
}

/** A process that works on the servers: a controller, a worker, a flow host. */
export interface RecordedProcess extends ProcessIdentity {
  /** Where it answers /readyz. */
  readonly readyUrl: string;
  readonly logFile: string;
  /** Of the code it runs; one of another version is not reused. */
  readonly version: string;
}

export interface StackState {
  readonly format: 1;
  readonly parts: Partial<Readonly<Record<StackPart, RecordedPart>>>;
  readonly processes?: Partial<Readonly<Record<string, RecordedProcess>>>;
}

export const stateFile = (dir: string): string => join(dir, 'stack.json');
export const envFile = (dir: string): string => join(dir, 'env');

/** A missing or unreadable record is an empty one: nothing is then reused and nothing stopped. */
export function readState(dir: string): StackState {
  try {
    const state = JSON.parse(readFileSync(stateFile(dir), 'utf8')) as StackState;
    if (state.format === 1) return state;
  } catch {
    // As the comment above says.
  }
  return { format: 1, parts: {} };
}

/** Whole or not at all: `down` depends on this file to know whom it may stop. */
export function writeState(dir: string, state: StackState): void {
  writeWhole(stateFile(dir), `${JSON.stringify(state, undefined, 2)}\n`, dir);
}

export function writeEnvFile(dir: string, env: Readonly<Record<string, string>>): void {
  const lines = Object.entries(env)
    .filter(([name]) => name.startsWith('MILLRACE_'))
    .map(([name, value]) => `export ${name}=${shellQuote(value)}`);
  writeWhole(envFile(dir), `${lines.join('\n')}\n`, dir);
}

function shellQuote(value: string): string {
  return /^[\w:/.@%+-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}

function writeWhole(path: string, text: string, dir: string): void {
  mkdirSync(dir, { recursive: true });
  const temp = `${path}.${process.pid}.tmp`;
  writeFileSync(temp, text, { mode: 0o600 });
  renameSync(temp, path);
}
