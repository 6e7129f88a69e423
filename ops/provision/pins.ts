import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OPS_DIR } from '../lib/paths.ts';

/** A program that is built from its Go module. */
export interface GoModulePin {
  readonly version: string;
  readonly minimum: string;
  readonly module: string;
  readonly moduleSum: string;
  /** Of the program, where it is not the module's own root. */
  readonly package?: string;
  readonly binary: string;
}

/** A program that comes as a release archive or, failing that, from its Go module. */
export interface GoPin extends GoModulePin {
  readonly release: string;
  readonly archive: string;
  readonly sums: string;
}

export interface Pins {
  readonly nats: GoPin;
  readonly jaeger: GoPin;
  readonly redis: { readonly minimum: string };
  readonly prefect: {
    readonly version: string;
    readonly pythonMinimum: string;
    readonly pythonBelow: string;
    readonly lock: string;
  };
  readonly chromium: { readonly minimum: string };
  readonly postgres: { readonly minimum: string };
  readonly natscli: GoModulePin;
  readonly temporal: GoModulePin;
}

/** Our own file, covered by a unit test: not validated again at each start. */
export const PINS = JSON.parse(readFileSync(join(OPS_DIR, 'pins.json'), 'utf8')) as Pins;
