/** What the steps of durable functions do in a {@link FunctionsWorld}: they end when the world says so, and find out what is wrong. */
import type { StepAttempt } from '../../src/functions/index.ts';
import { type Json, MillraceError } from '../../src/kernel/index.ts';
import type { StepOp } from './functions-program.ts';
import type { FunctionsWorld, Pending } from './functions-world.ts';

export interface Effect {
  readonly runId: string;
  readonly op: StepOp;
  readonly attempt: StepAttempt;
  /** Everything that the code had seen when it asked for the step. */
  readonly seen: readonly string[];
}

/** An attempt of a step on the host: checks F1, and ends when the world says so. */
export function effectOf(
  world: FunctionsWorld,
  client: string,
  { runId, op, attempt, seen }: Effect,
): Json | Promise<Json> {
  if (world.broker.isDead(client)) return new Promise(() => {});
  const text = JSON.stringify(world.log(runId));
  const missing = seen.find((one) => !text.includes(one));
  if (missing !== undefined) world.surprises.add(`${attempt.idempotencyKey} began before ${missing} was stored`);
  if (op.beats === true) beat(world, runId, attempt);
  const value = { v: `${attempt.idempotencyKey}.${world.next()}` };
  const failed = op.fatal || attempt.attempt <= op.fails;
  const give = (): Json => {
    const name = `${attempt.idempotencyKey} failed ${value.v}`;
    if (failed && op.fatal) throw new MillraceError('MR_INPUT_INVALID', name, { next: 'terminal' });
    if (failed) throw new Error(name);
    world.made.add(value.v);
    return value;
  };
  if (op.sync) return give();
  return new Promise((resolve, reject) => {
    const end = (): void => {
      world.drop(world.pending, pending);
      try {
        resolve(give());
      } catch (error) {
        reject(error);
      }
    };
    const pending: Pending = { client, end };
    world.pending.push(pending);
  });
}

/** Details of an attempt before are there if the log has them, whoever executed it. */
function beat(world: FunctionsWorld, runId: string, attempt: StepAttempt): void {
  const step = attempt.idempotencyKey.slice(runId.length + 1);
  const told = world
    .log(runId)
    .some(({ transitions }) =>
      transitions.some((t) => t.type === 'StepHeartbeat' && t.step === step && t.attempt < attempt.attempt),
    );
  if (told && attempt.progress === undefined) world.surprises.add(`${attempt.idempotencyKey} lost its progress`);
  attempt.heartbeat({ attempt: attempt.attempt });
}
