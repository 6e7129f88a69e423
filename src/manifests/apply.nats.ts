/**
 * Applies a plan.
 *
 * Job: do exactly what the plan says, in its order. Boundary: the plan's actions; no decision is taken here.
 *
 *   A1 nothing is done when the live state is not the one the plan was made for (MR_PLAN_STALE);
 *   A2 nothing is done when the plan has errors (MR_PLAN_IMPOSSIBLE);
 *   A3 every action may be done twice: a crash in the middle is repaired by planning and applying again;
 *   A4 definitions come last: whoever sees a definition finds its streams and consumers.
 */
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import { MillraceError, unreachable } from '../kernel/index.ts';
import { BUCKET_OPTIONS, type DefinitionStore, openDefinitions } from './definitions.nats.ts';
import { consumerConfig, streamConfig } from './ensure.nats.ts';
import { API_ERRORS, asNats, unlessMissing } from './failure.nats.ts';
import { fingerprintOf } from './live.ts';
import { observe } from './observe.nats.ts';
import type { Action, Plan } from './plan.ts';

export interface ApplyOptions {
  /** Called after each action, with its number from 0. */
  readonly onAction?: (action: Action, index: number) => void;
}

interface Doors {
  readonly nc: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly definitions: DefinitionStore;
}

async function perform({ nc, jsm, definitions }: Doors, action: Action): Promise<void> {
  const { kind, name } = action;
  const doing = `${kind.replace('-', ' ')} ${name}`;
  switch (kind) {
    case 'create-stream':
      await asNats(doing, () => jsm.streams.add(streamConfig(action.config)));
      return;
    case 'update-stream':
      await asNats(doing, () => jsm.streams.update(name, streamConfig(action.config)));
      return;
    case 'create-consumer':
      await asNats(doing, () => jsm.consumers.add(action.config.stream, consumerConfig(action.config)));
      return;
    case 'update-consumer': {
      const { stream, durable_name, ...config } = action.config;
      await asNats(doing, () => jsm.consumers.update(stream, durable_name, config));
      return;
    }
    case 'create-bucket':
      await asNats(doing, () => new Kvm(nc).create(name, { ...BUCKET_OPTIONS, replicas: action.replicas }));
      return;
    case 'put-definition':
      await definitions.put(action.definition);
      return;
    case 'remove-definition':
      await definitions.remove(name);
      return;
    case 'delete-consumer': {
      const [stream = '', consumer = ''] = name.split('/');
      const gone = [API_ERRORS.streamNotFound, API_ERRORS.consumerNotFound];
      await unlessMissing(doing, gone, () => jsm.consumers.delete(stream, consumer));
      return;
    }
    default:
      return unreachable(kind);
  }
}

/** The error of a plan that cannot be applied, with its first problem. */
export function impossible(plan: Plan): MillraceError | undefined {
  const errors = plan.problems.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (first === undefined) return undefined;
  const more = errors.length === 1 ? '' : ` (and ${errors.length - 1} more)`;
  const hint = first.hint === undefined ? {} : { hint: first.hint };
  return new MillraceError('MR_PLAN_IMPOSSIBLE', `${first.message}${more}`, { place: first.place, ...hint });
}

/**
 * Does what the plan says; gives the actions done.
 * @throws MillraceError MR_PLAN_STALE, MR_PLAN_IMPOSSIBLE before anything is done; MR_NATS, MR_NATS_AUTH,
 *   MR_NATS_UNREACHABLE in the middle: what is done stays done, planning and applying again does the rest
 */
export async function applyPlan(
  nc: NatsConnection,
  plan: Plan,
  options: ApplyOptions = {},
): Promise<readonly Action[]> {
  const refused = impossible(plan);
  if (refused !== undefined) throw refused;
  const now = fingerprintOf(await observe(nc));
  if (now !== plan.fingerprint) {
    throw new MillraceError(
      'MR_PLAN_STALE',
      `the plan was made for the live state ${plan.fingerprint}, but it is ${now} now`,
      { hint: 'something changed since; run millrace plan again, read it, and apply that' },
    );
  }
  const jsm = await asNats('reach JetStream', () => jetstreamManager(nc));
  const doors = { nc, jsm, definitions: await openDefinitions(nc) };
  const done: Action[] = [];
  for (const action of plan.actions) {
    await perform(doors, action);
    options.onAction?.(action, done.length);
    done.push(action);
  }
  return done;
}
