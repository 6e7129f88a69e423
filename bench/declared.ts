/**
 * Declared workflows with a worker in a process of its own: how long from one step to the next, and how many runs at once.
 * Beside it the least that has to follow one another for a step: its result, the log entry and the next task stored.
 */
import type { NatsDoor } from '../src/drivers/index.ts';
import { amount, figureOf, figuresOf, inTurn, PARTS, type ServerBenchmark } from './benchmark.ts';
import { openDeclared } from './declared-system.ts';
import { floor, prepareFloor } from './floor.ts';
import { type Figures, percentile } from './summary.ts';

const LONG = 9;
const SHORT = 3;
const AT_ONCE = 256;
const ALONE = 40;
const SATURATED = 1_500;
/** Publishes that cannot but follow one another from a step's result to the next one's. */
const IN_A_ROW = 3;

async function alone(door: NatsDoor, scale: number): Promise<Figures> {
  const system = await openDeclared({ door, workflow: 'declared-long', steps: LONG });
  try {
    await system.runs(60, 10); // warm: compiled code, open streams
    const few = amount(ALONE, scale);
    const times: number[] = [];
    const [bare] = await inTurn(
      () => floor(door, few * LONG, 1),
      async () => {
        times.push(...(await system.stepTimes(few)));
        return 0;
      },
    );
    const least = (bare / (few * LONG * PARTS)) * 1_000 * IN_A_ROW;
    const step = percentile(times, 50);
    return { step, stepP99: percentile(times, 99), least, stepRatio: least / step };
  } finally {
    await system.stop();
  }
}

async function saturated(door: NatsDoor, scale: number): Promise<Figures> {
  const system = await openDeclared({ door, workflow: 'declared-short', steps: SHORT });
  try {
    await system.runs(200, 50);
    const messages = await system.messagesPerRun();
    const few: number[] = [];
    await system.runs(amount(100, scale), 1, few);
    const many = amount(SATURATED, scale);
    const publishes = Math.round(many * messages);
    let cpu = 0;
    const workerBefore = await system.workerCpuMs();
    const [bare, full] = await inTurn(
      () => floor(door, publishes, AT_ONCE),
      async () => {
        const before = process.cpuUsage();
        const seconds = await system.runs(many, AT_ONCE);
        const { user, system: kernel } = process.cpuUsage(before);
        cpu += (user + kernel) / 1_000;
        return seconds;
      },
    );
    return {
      messages,
      runP50: percentile(few, 50),
      rate: (many * PARTS) / full,
      floorRate: (publishes * PARTS) / bare,
      share: bare / full,
      cpuMs: cpu / (many * PARTS),
      workerCpuMs: ((await system.workerCpuMs()) - workerBefore) / (many * PARTS),
    };
  } finally {
    await system.stop();
  }
}

async function round(door: NatsDoor, scale: number): Promise<Figures> {
  await prepareFloor(door);
  return { ...(await alone(door, scale)), ...(await saturated(door, scale)) };
}

export const declaredBenchmark: ServerBenchmark = {
  name: 'declared',
  what: 'declared workflows, the worker in a process of its own, beside the publishes they cannot do without',
  kind: 'server',
  rows: [
    { key: 'step', label: `step to step, one run of ${LONG} at a time, p50 ms`, digits: 2 },
    { key: 'stepP99', label: 'the same, p99 ms', digits: 2 },
    { key: 'least', label: `${IN_A_ROW} bare publishes one after another, ms`, digits: 2 },
    { key: 'stepRatio', label: 'ratio of times: those publishes / a step', digits: 2 },
    { key: 'messages', label: `messages that a run of ${SHORT} steps stores`, digits: 1 },
    { key: 'runP50', label: `a run of ${SHORT} steps alone, p50 ms`, digits: 1 },
    { key: 'rate', label: `runs/s of ${SHORT} steps, ${AT_ONCE} open`, digits: 0 },
    { key: 'floorRate', label: `floor: publishes/s, ${AT_ONCE} in flight`, digits: 0 },
    { key: 'share', label: 'ratio of rates: runs / their publishes', digits: 2 },
    { key: 'cpuMs', label: 'processor time per run, controller and load, ms', digits: 2 },
    { key: 'workerCpuMs', label: 'processor time per run, worker, ms', digits: 2 },
  ],
  figures: (rounds, sync) =>
    figuresOf(
      sync === 'always'
        ? undefined
        : figureOf(
            rounds,
            { value: 'step', ratio: 'stepRatio' },
            { figure: 'declared.step.p50', unit: 'ms', against: `${IN_A_ROW} publishes one after another` },
          ),
    ),
  round,
};
