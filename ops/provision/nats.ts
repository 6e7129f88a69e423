import { type GoProgram, goInstall, provisionGoProgram } from './gobinary.ts';
import { PINS } from './pins.ts';
import type { Part, Progress } from './types.ts';

export function provisionNats(progress: Progress): Promise<Part> {
  const pin = PINS.nats;
  const program: GoProgram = {
    name: 'nats',
    pin,
    pathNames: ['nats-server'],
    versionArgs: ['-v'],
    goHint: 'building it with Go (about a minute)',
    build: (go, temp) => goInstall(go, temp, pin),
    unavailable: `Put nats-server ${pin.minimum} or newer on PATH, or install Go and try again.`,
  };
  return provisionGoProgram(program, progress);
}
