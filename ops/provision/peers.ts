/** What the benchmarks alone need: nothing of `make demo` or `make test` asks for these. */
import { type GoProgram, goInstall, provisionGoProgram } from './gobinary.ts';
import { PINS } from './pins.ts';
import type { Part, Progress } from './types.ts';

/** The NATS project's own load generator. */
export function provisionNatsCli(progress: Progress): Promise<Part> {
  const pin = PINS.natscli;
  const program: GoProgram = {
    name: 'natscli',
    pin,
    pathNames: ['nats'],
    versionArgs: ['--version'],
    goHint: 'building it with Go (about a minute)',
    build: (go, temp) => goInstall(go, temp, pin),
    unavailable: `The limits that nats bench gives are left out. Put nats ${pin.minimum} or newer on PATH, or install Go.`,
  };
  return provisionGoProgram(program, progress);
}

/**
 * Temporal's development server. Newer releases of its module need a part of themselves that no Go module carries, so that
 * they build from their own sources alone: 1.5.1 is the newest that `go install` gives.
 */
export function provisionTemporal(progress: Progress): Promise<Part> {
  const pin = PINS.temporal;
  const program: GoProgram = {
    name: 'temporal',
    pin,
    pathNames: ['temporal'],
    versionArgs: ['--version'],
    goHint: 'building it with Go (several minutes)',
    build: (go, temp) => goInstall(go, temp, pin),
    unavailable: `Its rows are left out. Put temporal ${pin.minimum} or newer on PATH, or install Go.`,
  };
  return provisionGoProgram(program, progress);
}
