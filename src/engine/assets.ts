/**
 * The streams and consumers the engine needs, as values. `manifests/plan` compares them with the live system, `apply`
 * creates them; nothing else does. Field names are those of the JetStream API.
 */
import {
  ADVISORY_CONSUMER,
  ALL_LIMIT_LOGS,
  allInputs,
  allLogs,
  CONTROLLER_CONSUMER,
  LIMIT_CONSUMER,
  SCHEDULE_CONSUMER,
  STREAMS,
  TIMER_CONSUMER,
  triggerConsumer,
  workflowStream,
} from '../kernel/index.ts';
import type { Definition } from './model/index.ts';

const SECOND = 1_000_000_000; // the JetStream API counts in nanoseconds

/** The part of a stream's configuration that Millrace sets. */
export interface StreamAsset {
  readonly name: string;
  readonly description: string;
  readonly subjects: readonly string[];
  readonly retention: 'limits' | 'workqueue' | 'interest';
  readonly storage: 'file' | 'memory';
  readonly discard: 'old' | 'new';
  readonly num_replicas: number;
  /** Nanoseconds; 0 keeps for ever. */
  readonly max_age: number;
  readonly max_bytes: number;
  readonly duplicate_window: number;
  readonly allow_direct?: boolean;
  readonly allow_atomic?: boolean;
  readonly allow_msg_schedules?: boolean;
  readonly allow_msg_ttl?: boolean;
  /** Members that Millrace sets; the server's own (`_nats.…`) and those of others are left alone. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The part of a durable consumer's configuration that Millrace sets. */
export interface ConsumerAsset {
  readonly stream: string;
  readonly durable_name: string;
  readonly description: string;
  readonly filter_subject: string;
  readonly ack_policy: 'explicit';
  readonly deliver_policy: 'all' | 'new';
  /** Nanoseconds. */
  readonly ack_wait: number;
  readonly max_deliver: number;
  readonly max_ack_pending: number;
}

export interface Assets {
  readonly streams: readonly StreamAsset[];
  readonly consumers: readonly ConsumerAsset[];
}

/**
 * How long after a controller's death what it held comes to another one. Short, since whoever is alive and has a message in hand for
 * long says so (drivers/consumer, D1): only the dead, and who is cut off from the server, are silent.
 */
const ACK_WAIT = 5 * SECOND;

/** Inputs of a workflow that controllers may have in hand together. One takes up to 512 (D2), a dead one keeps its share for the ack wait. */
const INPUTS_OUT = 5_000;

const BASE = {
  storage: 'file',
  discard: 'old',
  max_age: 0,
  max_bytes: -1,
  duplicate_window: 120 * SECOND,
  allow_direct: true,
} as const;

const DAY = 86_400 * SECOND;

/** Streams and consumers shared by all workflows. */
export function systemAssets(replicas = 1): Assets {
  const stream = (
    name: string,
    description: string,
    subjects: string[],
    more: Partial<StreamAsset> = {},
  ): StreamAsset => ({ ...BASE, name, description, subjects, retention: 'limits', num_replicas: replicas, ...more });
  return {
    streams: [
      stream(STREAMS.tasks, 'Attempts handed to workers', ['task.>'], { retention: 'workqueue', allow_atomic: true }),
      stream(STREAMS.flows, 'Flow runs handed to flow hosts', ['flow.dispatch.*'], { retention: 'workqueue' }),
      stream(STREAMS.timers, 'Schedules and the timers they fired', ['timer.at.*.*.*', 'timer.fired.*.*'], {
        allow_msg_schedules: true,
        allow_msg_ttl: true,
      }),
      // A limit's one timer lives beside what is asked of it: a schedule fires into its own stream only.
      stream(STREAMS.asks, 'What is asked of limits, and their timers', ['limit.in.*.*', 'limit.at.*.*'], {
        retention: 'workqueue',
        allow_msg_schedules: true,
        allow_msg_ttl: true,
      }),
      // Schedules are not used here; rollups are, which the server allows with them: an entry with the whole state takes the
      // place of all before it.
      stream(STREAMS.limits, 'Limits: who has which slot, who waits', [ALL_LIMIT_LOGS], {
        allow_msg_schedules: true,
        allow_msg_ttl: true,
      }),
      stream(STREAMS.events, 'State changes of runs, steps, flows and tasks', ['evt.>'], {
        max_age: 7 * DAY,
        allow_atomic: true,
      }),
      stream(STREAMS.dead, 'Dead letters', ['dead.>'], { max_age: 30 * DAY }),
      stream(STREAMS.advisories, 'Deliveries that were given up', ['$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>'], {
        max_age: 7 * DAY,
      }),
      // The timer fires into the stream's own inputs: nobody has to carry it over.
      stream(
        STREAMS.schedules,
        'Schedules: inputs, logs, and the timer of each',
        ['sched.at.*.*', 'sched.in.*.*', 'sched.log.*.*'],
        { allow_msg_schedules: true, allow_msg_ttl: true },
      ),
    ],
    consumers: [
      consumer(STREAMS.timers, TIMER_CONSUMER, 'Fired timers on their way to runs', 'timer.fired.*.*'),
      consumer(STREAMS.schedules, SCHEDULE_CONSUMER, 'Inputs of schedules on their way to controllers', 'sched.in.*.*'),
      consumer(STREAMS.asks, LIMIT_CONSUMER, 'What is asked of limits on its way to controllers', 'limit.in.*.*', {
        max_ack_pending: INPUTS_OUT,
      }),
      consumer(
        STREAMS.advisories,
        ADVISORY_CONSUMER,
        'Exhausted deliveries on their way to dead letters',
        '$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>',
      ),
    ],
  };
}

function consumer(
  stream: string,
  name: string,
  description: string,
  filter: string,
  more: Partial<ConsumerAsset> = {},
): ConsumerAsset {
  return {
    stream,
    durable_name: name,
    description,
    filter_subject: filter,
    ack_policy: 'explicit',
    deliver_policy: 'all',
    ack_wait: ACK_WAIT,
    max_deliver: -1,
    max_ack_pending: 1_000,
    ...more,
  };
}

/** Streams and consumers of one workflow. Trigger consumers live on the streams they name. */
export function workflowAssets(definition: Definition, replicas = 1): Assets {
  const { name } = definition;
  const stream = workflowStream(name);
  return {
    streams: [
      {
        ...BASE,
        name: stream,
        description: `State machine of workflow ${name}`,
        subjects: [allInputs(name), allLogs(name)],
        retention: 'limits',
        num_replicas: replicas,
        allow_atomic: true,
      },
    ],
    consumers: [
      consumer(stream, CONTROLLER_CONSUMER, 'Inputs on their way to controllers', allInputs(name), {
        max_deliver: 20,
        max_ack_pending: INPUTS_OUT,
      }),
      ...definition.triggers.map((trigger) =>
        consumer(trigger.stream, triggerConsumer(name, trigger.name), `Starts runs of ${name}`, trigger.subject, {
          max_deliver: 20,
        }),
      ),
    ],
  };
}
