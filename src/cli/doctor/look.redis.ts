/** Looks at Redis. */
import { connectRedis } from '../../drivers/index.ts';
import type { RedisFacts } from './facts.ts';

/** @throws MillraceError MR_REDIS_UNREACHABLE */
export async function lookAtRedis(url: string): Promise<RedisFacts> {
  const door = await connectRedis({ url, name: 'millrace-doctor', timeoutMs: 3_000 });
  try {
    const info = await door.redis.info();
    const field = (name: string): string => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '?';
    return { version: field('redis_version'), maxmemoryPolicy: field('maxmemory_policy') };
  } finally {
    await door.close();
  }
}
