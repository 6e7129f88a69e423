import { type GoProgram, goBuildFrom, provisionGoProgram } from './gobinary.ts';
import { PINS } from './pins.ts';
import type { Part, Progress } from './types.ts';

export function provisionJaeger(progress: Progress): Promise<Part> {
  const pin = PINS.jaeger;
  const program: GoProgram = {
    name: 'jaeger',
    pin,
    pathNames: ['jaeger-all-in-one', 'jaeger'],
    versionArgs: ['version'],
    goHint: 'building it with Go (about three minutes; its web page is then a placeholder, its APIs are whole)',
    build: (go, temp) => goBuildFrom(go, temp, pin, 'jaeger', `${pin.module}/cmd/all-in-one`),
    unavailable:
      'Traces are not kept; everything else runs. Put jaeger-all-in-one on PATH, or install Go, to have them.',
  };
  return provisionGoProgram(program, progress);
}
