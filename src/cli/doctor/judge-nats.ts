/** What the facts about the NATS server and its streams mean. Pure. */
import { type Assets, systemAssets, workflowAssets } from '../../engine/index.ts';
import {
  CONTROLLER_CONSUMER,
  formatDuration,
  hostConsumer,
  STREAMS,
  taskConsumer,
  workflowStream,
} from '../../kernel/index.ts';
import type { ConsumerFact, NatsFacts, StreamFact, SyncFact } from './facts.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

/** Beyond this the server's and our clock tell different stories in logs and traces. */
const SKEW_WARN_MS = 1_000;
const SKEW_FAIL_MS = 30_000;
/** Inputs not delivered yet that are more than a moment's work. */
const LAG_WARN = 10_000;

function judgeSync(sync: SyncFact, replicas: number): Finding {
  if (sync.kind === 'always') {
    return ok('nats', 'sync_interval is always', 'what the server acknowledged survives a power cut');
  }
  if (sync.kind === 'every') {
    const found = `the server syncs its files every ${formatDuration(sync.ms)}`;
    return replicas > 1
      ? ok(
          'nats',
          `${found}, with ${replicas} replicas`,
          'a power cut on one server loses nothing that the others have',
        )
      : warn(
          'nats',
          found,
          'a power cut (not a crash of the process) loses acknowledged messages of that time: runs may step back',
          'set `sync_interval: always` in the jetstream block, or use three replicas',
        );
  }
  return warn(
    'nats',
    `how the server syncs its files is not known: ${sync.why}`,
    'with the default of two minutes a power cut loses acknowledged messages; clients are not told',
    'set MILLRACE_NATS_MONITOR_URL to the monitoring address (`http_port` in its configuration), or look for `sync_interval: always` there',
  );
}

function judgeClock(skewMs: number | undefined): Finding[] {
  if (skewMs === undefined) return [];
  const size = Math.abs(skewMs);
  const found = `the server's clock is ${formatDuration(size)} ${skewMs < 0 ? 'behind' : 'ahead of'} this machine's`;
  const means = 'timers follow the server; ages and spans measured here are off by that much';
  const todo = 'let both machines follow the same time service (chrony, systemd-timesyncd)';
  if (size >= SKEW_FAIL_MS) return [fail('nats', found, means, todo)];
  if (size >= SKEW_WARN_MS) return [warn('nats', found, means, todo)];
  return [ok('nats', 'the clocks agree within a second')];
}

/** The server itself. */
export function judgeServer(facts: NatsFacts): Finding[] {
  const replicas = Math.min(...facts.streams.map((stream) => stream.replicas), Number.POSITIVE_INFINITY);
  const where = facts.cluster === undefined ? '' : `, cluster ${facts.cluster}`;
  return [
    ok('nats', `nats-server ${facts.version} at ${facts.url} with JetStream${where}, round trip ${facts.rttMs} ms`),
    judgeSync(facts.sync, Number.isFinite(replicas) ? replicas : 1),
    ...judgeClock(facts.skewMs),
  ];
}

function judgeReplicas(facts: NatsFacts, ours: readonly StreamFact[]): Finding[] {
  const findings: Finding[] = [];
  const single = ours.filter(({ replicas }) => replicas === 1);
  if (facts.cluster !== undefined && single.length > 0) {
    findings.push(
      warn(
        'streams',
        `${single.length} of ${ours.length} streams have one replica in a cluster`,
        'when their server is away their runs stand still, when its disk is lost they are gone',
        'apply with three replicas',
      ),
    );
  } else if (ours.length > 0) {
    const counts = [...new Set(ours.map(({ replicas }) => replicas))].sort().join(' or ');
    findings.push(ok('streams', `${ours.length} streams with ${counts} replica${counts === '1' ? '' : 's'}`));
  }
  for (const { name, lagging } of ours.filter((stream) => stream.lagging.length > 0)) {
    findings.push(
      warn(
        'streams',
        `replicas of ${name} are behind or away: ${lagging.join(', ')}`,
        'one more loss and the stream takes no writes',
        'look at that server',
      ),
    );
  }
  return findings;
}

function judgeDead(streams: readonly StreamFact[]): Finding[] {
  const dead = streams.find(({ name }) => name === STREAMS.dead)?.messages ?? 0;
  if (dead === 0) return [];
  return [
    warn(
      'streams',
      `${dead} dead letter${dead === 1 ? '' : 's'}`,
      'messages that could not be worked on are kept there for 30 days',
      'see `millrace dead-letters list`; repair the cause and redeliver or purge them',
    ),
  ];
}

/** From here on a stream without retention is worth a word: a server that keeps everything fills its disk one day. */
const LARGE_BYTES = 1_000_000_000;

/** That what grows is also purged. */
export function judgeRetention({ definitions, streams }: NatsFacts): Finding[] {
  return definitions.flatMap(({ name, retention }) => {
    const stream = streams.find((one) => one.name === workflowStream(name));
    if (retention !== undefined || stream === undefined || stream.bytes < LARGE_BYTES) return [];
    return [
      warn(
        'streams',
        `${stream.name} has ${(stream.bytes / 1e9).toFixed(1)} GB and workflow ${name} no retention`,
        'ended runs stay for ever, until the disk is full',
        `give its manifest \`retention: {completed: 7d, failed: 30d, cancelled: 30d}\`, or use \`millrace runs purge\``,
      ),
    ];
  });
}

function missing(facts: NatsFacts, assets: Assets): { streams: string[]; consumers: string[] } {
  const streams = new Set(facts.streams.map(({ name }) => name));
  const consumers = new Set(facts.consumers.map(({ stream, name }) => `${stream}/${name}`));
  return {
    streams: assets.streams.map(({ name }) => name).filter((name) => !streams.has(name)),
    consumers: assets.consumers
      .map(({ stream, durable_name }) => `${stream}/${durable_name}`)
      .filter((name) => !consumers.has(name)),
  };
}

/** That what was applied is there. */
export function judgeAssets(facts: NatsFacts): Finding[] {
  const findings: Finding[] = [];
  const wanted = [
    {
      what: 'the system',
      assets: systemAssets(),
      todo: 'run `millrace apply`, or start a controller: it creates them',
    },
    ...facts.definitions.map((definition) => ({
      what: `workflow ${definition.name}`,
      assets: workflowAssets(definition),
      todo: 'run `millrace apply` with its manifest',
    })),
  ];
  for (const { what, assets, todo } of wanted) {
    const gone = missing(facts, assets);
    const names = [...gone.streams, ...gone.consumers];
    if (names.length > 0) {
      findings.push(fail('streams', `of ${what} there is no ${names.join(', ')}`, 'its runs cannot move', todo));
    }
  }
  if (findings.length === 0) findings.push(ok('streams', 'all streams and consumers exist'));
  const names = facts.definitions.map(({ name }) => name);
  findings.push(
    names.length > 0
      ? ok('streams', `${names.length} workflow${names.length === 1 ? '' : 's'} applied: ${names.join(', ')}`)
      : warn('streams', 'no workflow is applied', 'there is nothing to run', 'run `millrace apply streams/`'),
  );
  const system = new Set(systemAssets().streams.map(({ name }) => name));
  const ours = facts.streams.filter(({ name }) => system.has(name) || name.startsWith('WF_'));
  return [...findings, ...judgeReplicas(facts, ours), ...judgeDead(facts.streams), ...judgeRetention(facts)];
}

const backlog = (c: ConsumerFact): string => `${c.pending} waiting, ${c.ackPending} under way`;

function judgeListener(c: ConsumerFact | undefined, who: string, todo: string): Finding | undefined {
  if (c === undefined || c.waiting > 0 || c.ackPending > 0) return undefined;
  const found = `nobody listens on ${c.stream}/${c.name} (${backlog(c)})`;
  const means =
    c.pending > 0 ? `${c.pending} messages stand still until ${who} comes` : `the next message waits for ${who}`;
  return warn('consumers', found, means, todo);
}

/** Worker and host consumers that applied workflows need. */
function judgeWorkers(facts: NatsFacts): Finding[] {
  const byName = new Map(facts.consumers.map((consumer) => [`${consumer.stream}/${consumer.name}`, consumer]));
  const needed = new Map<string, { readonly who: string; readonly todo: string }>();
  for (const { steps } of facts.definitions) {
    for (const { action, compensate } of steps) {
      for (const work of [action.kind === 'worker' ? action : undefined, compensate]) {
        if (work === undefined) continue;
        const who = `a worker for handler ${work.handler} on queue ${work.queue}`;
        needed.set(`${STREAMS.tasks}/${taskConsumer(work.queue, work.handler)}`, { who, todo: `start ${who}` });
      }
      if (action.kind === 'prefect') {
        const who = `a flow host of pool ${action.pool}`;
        needed.set(`${STREAMS.flows}/${hostConsumer(action.pool)}`, { who, todo: `start ${who}` });
      }
    }
  }
  return [...needed].flatMap(([name, { who, todo }]) => {
    const consumer = byName.get(name);
    if (consumer !== undefined) return judgeListener(consumer, who, todo) ?? [];
    return [warn('consumers', `${who} has never been here`, 'steps that need it wait', todo)];
  });
}

function judgeBacklog(c: ConsumerFact): Finding[] {
  const name = `${c.stream}/${c.name}`;
  if (c.maxAckPending > 0 && c.ackPending >= c.maxAckPending) {
    const todo = 'add processes that take from it, or look why they do not acknowledge (`/metrics`, logs)';
    return [
      warn('consumers', `${name} is full: ${backlog(c)}`, 'the server gives no more until some are acknowledged', todo),
    ];
  }
  if (c.pending >= LAG_WARN) {
    return [
      warn(
        'consumers',
        `${name} is behind: ${backlog(c)}`,
        'messages come faster than they are handled',
        'add processes that take from it',
      ),
    ];
  }
  return [];
}

/** That somebody listens, and keeps up. */
export function judgeConsumers(facts: NatsFacts): Finding[] {
  const findings: Finding[] = [];
  for (const consumer of facts.consumers) {
    findings.push(...judgeBacklog(consumer));
    if (consumer.name === CONTROLLER_CONSUMER && consumer.stream.startsWith('WF_')) {
      findings.push(
        ...[judgeListener(consumer, 'a controller', 'start `millrace controller`')].filter((f) => f !== undefined),
      );
    }
  }
  findings.push(...judgeWorkers(facts));
  if (findings.length > 0) return findings;
  return [ok('consumers', `${facts.consumers.length} consumers keep up`)];
}
