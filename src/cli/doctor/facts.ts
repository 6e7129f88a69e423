/** What doctor looks at, as values: the looks are adapters, the judgements are pure. */
import type { Definition } from '../../engine/index.ts';

export interface StreamFact {
  readonly name: string;
  readonly replicas: number;
  readonly messages: number;
  readonly bytes: number;
  /** Replicas that are behind or away, by name. */
  readonly lagging: readonly string[];
}

export interface ConsumerFact {
  readonly stream: string;
  readonly name: string;
  /** Not delivered yet. */
  readonly pending: number;
  /** Delivered and not acknowledged. */
  readonly ackPending: number;
  readonly maxAckPending: number;
  readonly redelivered: number;
  /** Pull requests that wait for messages: 0 means that nobody listens. */
  readonly waiting: number;
}

/** How the server syncs its files. */
export type SyncFact =
  | { readonly kind: 'always' }
  | { readonly kind: 'every'; readonly ms: number }
  | { readonly kind: 'unknown'; readonly why: string };

export interface NatsFacts {
  readonly url: string;
  readonly version: string;
  readonly name: string;
  /** Name of the cluster, when the server is part of one. */
  readonly cluster?: string;
  readonly rttMs: number;
  readonly maxPayload: number;
  /** Server's clock minus ours, ms; undefined when there is no stream to ask. */
  readonly skewMs?: number;
  readonly sync: SyncFact;
  readonly streams: readonly StreamFact[];
  readonly consumers: readonly ConsumerFact[];
  readonly definitions: readonly Definition[];
}

export interface RedisFacts {
  readonly version: string;
  readonly maxmemoryPolicy: string;
}

export interface PrefectFacts {
  readonly url: string;
  readonly version: string;
  readonly healthy: boolean;
  /** Deployments of applied workflows that Prefect does not have. */
  readonly missing: readonly { readonly workflow: string; readonly step: string; readonly deployment: string }[];
  readonly deployments: number;
}
