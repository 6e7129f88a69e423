export { parseAckSubject } from './ack-subject.ts';
export { systemClock } from './clock.node.ts';
export { type Committer, type CommitterOptions, openCommitter } from './committer.nats.ts';
export {
  assertPayload,
  connectNats,
  isOlder,
  maxPayload,
  type NatsDoor,
  type NatsOptions,
  OLDEST_NATS,
} from './connection.nats.ts';
export { connectRedis, type RedisDoor, type RedisOptions } from './connection.redis.ts';
export { type ConsumeOptions, consumeDurable, type DurableConsumption } from './consumer.jetstream.ts';
export type { Delivered } from './delivered.nats.ts';
export { type Wire, wireOf } from './gather.nats.ts';
export { type Headers, headerLines } from './headers.ts';
export { expectStored, openPublisher, plainHeaders } from './publisher.nats.ts';
export type { Payload, Publisher, PublishOutcome, Settle } from './publishing.ts';
export { type Check, type HttpOptions, type HttpServer, startHttp } from './server.http.ts';
export { type Closer, installShutdown, type Shutdown, type ShutdownOptions } from './shutdown.node.ts';
export { MOST, PER_TURN, Slices, type SlicesOptions } from './slices.node.ts';
export { isApiError, readFailure, SubjectReader } from './subject-reader.jetstream.ts';
