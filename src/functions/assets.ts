/** What a durable function needs on the server. Pure. */
import { type Assets, type Definition, type RetentionPolicy, workflowAssets } from '../engine/index.ts';

/** How long the server waits for a sign of life of a run's executor before others may take it over, in ms. */
export const LEASE_MS = 5_000;
const HELD = 20_000;
const NANOS = 1_000_000;

/** The function as the definitions bucket knows it. */
export function definitionOf(name: string, retention?: RetentionPolicy): Omit<Definition, 'digest'> {
  return { name, code: true, deadLetter: false, ...(retention && { retention }), steps: [], triggers: [] };
}

/**
 * Its stream and consumer. An input stays unacknowledged as long as its run executes: so many more of them are out than
 * with declared workflows, and they come back sooner when their process dies.
 */
export function functionAssets(definition: Definition, options: { replicas?: number; leaseMs?: number } = {}): Assets {
  const { streams, consumers } = workflowAssets(definition, options.replicas ?? 1);
  const ack_wait = (options.leaseMs ?? LEASE_MS) * NANOS;
  return {
    streams,
    consumers: consumers.map((consumer) =>
      consumer.stream === streams[0]?.name ? { ...consumer, ack_wait, max_ack_pending: HELD } : consumer,
    ),
  };
}
