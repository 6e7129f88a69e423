import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OPS_DIR } from '../lib/paths.ts';

/** A program that comes as a release archive or, failing that, from its Go module. */
export interface GoPin {
  readonly version: string;
  readonly minimum: string;
  readonly module: string;
  readonly moduleSum: string;
  readonly release: string;
  readonly archive: string;
  readonly sums: string;
  readonly binary: string;
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
}

/** Our own file, covered by a unit test: not validated again at each start. */
export const PINS = JSON.parse(readFileSync(join(OPS_DIR, 'pins.json'), 'utf8')) as Pins;
