/** The door to Redis. It holds hints only (the reconcile queue), so losing it costs time and never state. */
import { Redis } from 'ioredis';
import { MillraceError, messageOf } from '../kernel/index.ts';

export interface RedisOptions {
  /** `redis://host:port/db`. */
  readonly url: string;
  readonly name: string;
  /** Milliseconds for the first connection; 5,000 by default. */
  readonly timeoutMs?: number;
}

export interface RedisDoor {
  readonly redis: Redis;
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Connects; afterwards the client reconnects for ever and queues commands meanwhile.
 * @throws MillraceError MR_REDIS_UNREACHABLE when no server answers at first
 */
export async function connectRedis(options: RedisOptions): Promise<RedisDoor> {
  const { url, name, timeoutMs = 5_000 } = options;
  let opened = false;
  const redis = new Redis(url, {
    lazyConnect: true,
    connectionName: name,
    connectTimeout: timeoutMs,
    maxRetriesPerRequest: null, // BullMQ asks for it: blocking commands wait for the server to come back
    retryStrategy: (times) => (opened ? Math.min(2_000, times * 100) : null),
  });
  // Without a listener ioredis prints every failed reconnect; who needs to know asks `checks()`.
  let last: unknown;
  redis.on('error', (error: unknown) => {
    last = error;
  });
  try {
    await redis.connect();
    await redis.ping();
    opened = true;
  } catch (error) {
    redis.disconnect();
    const cause = last ?? error; // the event tells why; the rejection only that it is closed
    throw new MillraceError(
      'MR_REDIS_UNREACHABLE',
      `no Redis answers at ${withoutPassword(url)}: ${messageOf(cause)}`,
      {
        hint: 'start redis-server, or leave MILLRACE_REDIS_URL unset to keep the queue in memory (one controller only)',
        cause,
      },
    );
  }
  return { redis, url, close: async () => redis.disconnect() };
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/([^:@/]*):[^@/]*@/, '//$1:***@');
}
